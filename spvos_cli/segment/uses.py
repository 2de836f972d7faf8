"""When each option of `spvos segment` and `segment_video` has an effect."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from spvos_cli.files import IMAGE_SUFFIXES
from spvos_cli.option import ALWAYS, Use, given_fields, refuse_unused

if TYPE_CHECKING:  # --help must not wait for what these need
    from spvos_cli.inference.engine import EngineOptions
    from spvos_cli.model.network import VOSNetwork
    from spvos_cli.segment.options import SegmentOptions


def _shows_overlays(values: SimpleNamespace) -> bool:
    from spvos_cli.video.writers.sheet import ContactSheet
    from spvos_cli.video.writers.videos import OverlayVideo

    return bool(values.demo or values.preview or _writes(values, OverlayVideo, ContactSheet))


def _shows_colours(values: SimpleNamespace) -> bool:
    from spvos_cli.video.writers.folders import LabelFolder, NumberedFolder

    shown = _shows_overlays(values) or _writes(values, LabelFolder, NumberedFolder)
    return bool(shown or values.box or values.click)


def _writes(values: SimpleNamespace, *writers: type) -> bool:
    """Whether an output has one of these writers; the default outputs are a folder and an overlay."""
    from spvos_cli.video.writers.choose import parse_output

    if not values.output or values.jobs:  # rows of a job file have their own
        return True
    return any(issubclass(parse_output(text, values.format).writer, writers) for text in values.output)


def _places(values: SimpleNamespace) -> set[str]:
    return {str(path) for path in values.output or ("masks",)}


def is_many(values: Any) -> bool:
    """Whether a command line is about several videos, however many they turn out to be. Images one by one are
    one video."""
    several = len(values.input or ()) > 1 and not are_frames(values.input)
    return bool(values.jobs or values.mask_dir or several)


def are_frames(inputs: Sequence[str]) -> bool:
    """Whether all inputs are images by their names, as a shell makes them of a glob, and one is there."""
    paths = [Path(text) for text in inputs]
    images = all(path.suffix.lower() in IMAGE_SUFFIXES for path in paths)
    return images and any(path.is_file() for path in paths)


VIDEO = Use(lambda v: not v.demo, "a video of your own in the place of --demo")
PIPE = Use(lambda v: "-" in _places(v), "the output -")
OVERLAY = Use(_shows_overlays, "an output with overlays (.mp4, .png, --preview)")
COLOURS = Use(_shows_colours, "an output with colours (a folder, .mp4, .png, --preview)")
ON_DISK = Use(lambda v: _places(v) != {"-"}, "an output on disk, which --resume can go on with")
READ_AGAIN = Use(lambda v: not v.backward, "no --backward, for which frames are read twice")
GATES = Use(lambda v: v.method != "dense", "a --method with gates")
LOADS = Use(lambda v: getattr(v, "network", None) is None, "no network that is loaded already")
NETWORK = (LOADS,)
ONE = Use(lambda v: not is_many(v), "one INPUT; for several, --mask-dir or columns of --jobs")
MANY = Use(is_many, "several INPUTs, --mask-dir or --jobs")
NO_ROWS = Use(lambda v: not v.jobs, "no --jobs, whose rows name their inputs")

USES: dict[str, tuple[Use, ...]] = {
    "input": (VIDEO, NO_ROWS),
    "mask": (VIDEO, ONE),
    "box": (VIDEO, ONE),
    "click": (VIDEO, ONE),
    "mask_dir": (VIDEO,),
    "jobs": (VIDEO,),
    "workers": (VIDEO, MANY),
    "cluster": (VIDEO, MANY),
    "output": (ALWAYS,),
    "demo": (ALWAYS,),
    "start": (VIDEO,),
    "end": (VIDEO,),
    "stride": (VIDEO,),
    "backward": (VIDEO,),
    "live": (VIDEO, READ_AGAIN),
    "allow_network": (VIDEO,),  # a permission, like --overwrite: it needs no address to be right
    "track": (VIDEO,),  # sources without tracks refuse it, those of 8 bits a range
    "range": (VIDEO,),
    "fps": (VIDEO,),  # a source that has times of its own refuses it
    "format": (VIDEO, PIPE),
    "preview": (ALWAYS,),
    "overlay_alpha": (OVERLAY,),
    "contour": (OVERLAY,),
    "show_names": (OVERLAY,),
    "colours": (COLOURS,),
    "resume": (VIDEO,),
    "save_every": (VIDEO, ON_DISK),
    "overwrite": (ALWAYS,),
    "model": NETWORK,
    "weights": NETWORK,
    "method": NETWORK,
    "sparse": (*NETWORK, GATES),
    "gate_all": (*NETWORK, GATES),
    "strategy": (*NETWORK, GATES),
    "gate": (*NETWORK, GATES),
    "size": (ALWAYS,),
    "mem_every": (ALWAYS,),
    "top_k": (ALWAYS,),
    "max_memory": (ALWAYS,),
    "long_memory": (ALWAYS,),
    "reuse": (GATES,),
    "region": (ALWAYS,),
    "flip": (ALWAYS,),
    "engine": NETWORK,
    "device": NETWORK,
    "dtype": NETWORK,
    "threads": (ALWAYS,),
    "quiet": (ALWAYS,),
    "json": (ALWAYS,),
}


def refuse_useless(
    input: str | Path | Sequence[str | Path],
    masks: Sequence[str | Path],
    outputs: Sequence[str | Path],
    own: SegmentOptions,
    engine: EngineOptions,
    network: VOSNetwork | None = None,
) -> None:
    """Compares the options of one video, as far as they differ from their defaults, with when they have an
    effect.

    Args:
        network: one that is loaded already.

    Raises:
        InputError: one has none.
    """
    values: dict[str, Any] = {"input": [input], "mask": masks, "output": outputs, "network": network}
    values |= {"demo": False, "jobs": None, "mask_dir": None}
    refuse_unused(USES, values | vars(own) | vars(engine), given_fields(own) | given_fields(engine))
