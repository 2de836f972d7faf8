"""What Python programs call: `segment_video` for files, `segment_frames` for arrays."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spvos_cli.errors import InputError
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.inference.threads import thread_count
from spvos_cli.option import given_fields, refuse_unused
from spvos_cli.segment.job import prepare
from spvos_cli.segment.options import split_options
from spvos_cli.segment.pipeline import Summary, run_job
from spvos_cli.segment.tracker import areas_of
from spvos_cli.segment.uses import USES, refuse_useless
from spvos_cli.ui import Reporter

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from spvos_cli.model.network import VOSNetwork
    from spvos_cli.segment.keywords import FrameKeywords, VideoKeywords

Masks = np.ndarray | Mapping[int, np.ndarray] | Iterable[np.ndarray | None]


def segment_video(
    input: str | Path | Sequence[str | Path],
    mask: str | Path | Sequence[str | Path] = (),
    output: str | Path | Sequence[str | Path] = (),
    *,
    network: VOSNetwork | None = None,
    reporter: Reporter | None = None,
    **options: Unpack[VideoKeywords],
) -> Summary:
    """Follows the objects of the given masks through a video.

    Args:
        input: a video file, a folder or glob of images, a list of the images that are its frames, or "-" for
            a container on standard input.
        mask: a mask of the first frame, "FRAME:FILE", a folder of masks, or several of these.
        output: a folder (indexed PNGs), or a file whose suffix says what it is: .mp4 overlay, .mkv labels,
            .mov or .webm cut-out, .json COCO, .jsonl records, .png contact sheet; "-" for standard output;
            folders FOLDER.objects, FOLDER.rgba, FOLDER.mots and FOLDER.soft. By default NAME_masks and
            NAME_overlay.mp4.
        network: from `load_model`, so that several videos share it; by default it is loaded as the options
            say.
        reporter: where progress and remarks go; nowhere by default.
        options: fields of `SegmentOptions` (start, end, stride, backward, box, click, resume, overwrite ...)
            and of `EngineOptions` (model, weights, size, device, dtype ...): the names of the command's
            options. `threads` holds while this runs.

    Raises:
        InputError: something given cannot be used, or has no effect; nothing has been written then.
        TypeError: there is no option of a name.
    """
    reporter = reporter or Reporter(quiet=True)
    own, engine = split_options(dict(options), EngineOptions)
    masks, outputs = ([x] if isinstance(x, str | Path) else list(x) for x in (mask, output))
    refuse_useless(input, masks, outputs, own, engine, network)
    shape = engine.shaping() | ({} if network is None else {"network": network_digest(network)})
    job = prepare(input, masks, outputs, own, shape, reporter.note, engine.weights, engine.suggest())
    with contextlib.closing(job.source):
        return run_job(job, engine.segmenter(reporter, network), engine.threads, reporter)


class FrameFacts(NamedTuple):
    """What is known of a frame beside its labels.

    Attributes:
        frame: its number, from 0.
        objects: ids that are followed, in order.
        areas: pixels of each of them, by id.
        confidence: mean probability of an object over the pixels that it holds, by id; objects without a
            pixel are not in it.
        policies: the shares of the pixels of gated layers that were skipped, reused and computed; empty
            where nothing ran sparsely.
        density: the share of multiply-accumulates done in these layers; None where nothing ran sparsely.
    """

    frame: int
    objects: tuple[int, ...]
    areas: dict[int, int]
    confidence: dict[int, float]
    policies: dict[str, float]
    density: float | None


def segment_frames(
    frames: Iterable[np.ndarray],
    masks: Masks,
    *,
    network: VOSNetwork | None = None,
    **options: Unpack[FrameKeywords],
) -> Iterator[tuple[np.ndarray, FrameFacts]]:
    """Follows objects through frames, one at a time as they are asked for.

    Args:
        frames: arrays (H, W, 3) uint8, RGB, in order; all of one size.
        masks: ids (H, W) of the objects, 0 elsewhere: an array for the first frame, a mapping from a frame's
            number to its mask, or an iterable of a mask or None for each frame. Objects that a later mask
            adds join there; those that are known are corrected.
        network: from `load_model`, so that several videos share it; by default it is loaded as the options
            say.
        options: fields of `EngineOptions` (model, weights, size, mem_every, device, dtype ...).

    Yields:
        For each frame the labels (H, W) uint8, the most probable id of each pixel, and the facts.

    Raises:
        InputError: the network cannot be had, or an option has no effect; at once. At the end, where no mask
            was of a frame that came.
        TypeError: there is no option of a name; at once.
        ValueError: a frame or a mask is not as it must be; when its turn comes.
    """
    engine = EngineOptions(**options)
    refuse_unused(USES, vars(engine) | {"network": network}, given_fields(engine))
    return _follow(frames, masks, engine, engine.network() if network is None else network)


def _follow(
    frames: Iterable[np.ndarray], masks: Masks, engine: EngineOptions, network: VOSNetwork
) -> Iterator[tuple[np.ndarray, FrameFacts]]:
    segmenter = engine.segmenter(Reporter(quiet=True), network)
    segmenter.measured = True
    given = {0: masks} if isinstance(masks, np.ndarray) else masks
    in_turn = None if isinstance(given, Mapping) else iter(given)
    used: set[int] = set()
    for number, frame in enumerate(frames):
        mask = given.get(number) if isinstance(given, Mapping) else next(in_turn or iter(()), None)
        if mask is not None:
            used.add(number)
        with thread_count(engine.threads, network):
            labels = segmenter.step(frame, mask)
            stats, confidence = segmenter.gate_stats, segmenter.confidence
        areas = areas_of(labels)
        objects = tuple(segmenter.objects)
        density = stats.computed / stats.total if stats.total else None
        by_object = {i: int(areas[i]) for i in objects}
        yield labels, FrameFacts(number, objects, by_object, confidence, stats.policies, density)
    unused = sorted(set(given) - used) if isinstance(given, Mapping) else []
    if unused or not used:
        _complain(unused or [0], nothing_used=not used)


def _complain(unused: list[int], *, nothing_used: bool) -> None:
    what = f"mask of frame {unused[0]}"
    if nothing_used:
        fix = "give a mask of a frame that comes"
        raise InputError(what, found="no such frame came", expected="a frame of the video", fix=fix)
    warnings.warn(f"{what}: no such frame came; it was not used", stacklevel=3)


def network_digest(network: VOSNetwork) -> str:
    """Tells a loaded network from others: of its configuration and all its tensors."""
    import hashlib

    import torch

    digest = hashlib.sha256(repr(network.config).encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
