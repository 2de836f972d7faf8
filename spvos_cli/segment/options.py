"""What `spvos segment` and `segment_video` take besides the network's options; the names are the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from spvos_cli.errors import InputError
from spvos_cli.option import OUTPUT, check_values, option

if TYPE_CHECKING:  # --help must not wait for NumPy and FFmpeg
    from fractions import Fraction

    from _typeshed import DataclassInstance

    from spvos_cli.video.moments import Range
    from spvos_cli.video.samples import SampleRange

T = TypeVar("T", bound="DataclassInstance")
FRAMES = "Frames"


@dataclasses.dataclass(frozen=True)
class SegmentOptions:
    """How a video is read, followed and written; the fields are the options of the command line. Moments are
    frame numbers (120) or seconds ("12.5s").

    Raises:
        InputError: a value is out of its range.
    """

    box: str | Sequence[str] = option(
        (),
        "A box around an object in a frame (by default the first), in pixels, in the place of a mask: its"
        " mask is made by a network and written for checking. May be given several times.",
        metavar="[FRAME:]X,Y,W,H",
        kind=list[str],
    )
    click: str | Sequence[str] = option(
        (),
        "A pixel that belongs to an object (+) or does not (-), in a frame (by default the first): it makes a"
        " mask, or corrects the one that a box or --mask gives there. Where there are several objects in the"
        " frame, 2= before it names one. May be given several times.",
        metavar="[ID=][FRAME:]X,Y[+|-]",
        kind=list[str],
    )
    start: int | str | None = option(
        None,
        "The first frame that is segmented: a frame's number, or seconds as in 12.5s.",
        panel=FRAMES,
        kind=str,
        metavar="FRAME",
    )
    end: int | str | None = option(
        None,
        "The frame before which segmenting ends: a frame's number, or seconds as in 12.5s.",
        panel=FRAMES,
        kind=str,
        metavar="FRAME",
    )
    stride: int = option(1, "Every how many frames one is segmented.", panel=FRAMES, least=1)
    backward: bool = option(
        False,
        "Objects are followed from their masks to the start of the video as well as to its end.",
        panel=FRAMES,
    )
    live: bool = option(
        False, "Frames that come faster than they can be segmented are dropped.", panel=FRAMES
    )
    allow_network: bool = option(False, "INPUT may be the address of a network stream.", panel=FRAMES)
    track: int | None = option(
        None,
        "The video track that is segmented, counted from 0, of a file with several; by default the one that"
        " players show.",
        panel=FRAMES,
        least=0,
        metavar="N",
    )
    range: str | None = option(
        None,
        "The samples that are shown as black and as white, for images of more than 8 bits (16-bit, floats):"
        " 0,4095 for 12 bits. By default it is measured on some frames, and said.",
        panel=FRAMES,
        metavar="LOW,HIGH",
    )
    fps: str | float | None = option(
        None,
        "How many frames a second there are in a folder of images or a raw stream, which do not say it"
        " themselves: 30, 29.97 or 30000/1001. Without it a folder has 24.",
        panel=FRAMES,
        kind=str,
        metavar="RATE",
    )
    format: str = option(
        "mkv",
        "What the output - is: mkv, a video of labels, or jsonl, a line of JSON for each frame.",
        panel=OUTPUT,
        choices=("mkv", "jsonl"),
    )
    preview: int = option(
        0,
        "Every how many frames the overlay of one is written to the folder NAME_preview; 0 writes none.",
        panel=OUTPUT,
        least=0,
        metavar="N",
    )
    overlay_alpha: float = option(
        0.5,
        "How much an object's colour covers it in overlays, as a fraction: 0 leaves the object as it is, 1"
        " hides it.",
        panel=OUTPUT,
        least=0,
        most=1,
    )
    contour: int | None = option(
        None,
        "The width, in pixels, of the lines around objects in overlays; 0 draws none. By default 2 where a"
        " frame's shorter side has 480 pixels, and in proportion.",
        panel=OUTPUT,
        least=0,
        most=100,
        metavar="PIXELS",
    )
    show_names: bool = option(
        False,
        "The name of each object, or its number where the masks give it none, is written beside it in"
        " overlays.",
        panel=OUTPUT,
    )
    colours: str | None = option(
        None,
        "The colours of the objects: red,#00ff00 in the order of their ids, or 3=blue for one of them.",
        panel=OUTPUT,
    )
    resume: bool = option(
        False,
        "An interrupted run of the same input, masks, weights and options goes on where it was.",
        panel=OUTPUT,
    )
    save_every: float = option(
        10.0,
        "How many seconds a run goes on before it saves its state anew, for --resume: what a killed run"
        " loses at most.",
        panel=OUTPUT,
        least=0,
        metavar="SECONDS",
    )
    overwrite: bool = option(False, "Outputs that exist may be replaced.", panel=OUTPUT)

    def __post_init__(self) -> None:
        check_values(self)

    @property
    def boxes(self) -> list[str]:
        """One or several."""
        return [self.box] if isinstance(self.box, str) else list(self.box or ())

    @property
    def clicks(self) -> list[str]:
        """One or several."""
        return [self.click] if isinstance(self.click, str) else list(self.click or ())

    def chosen(self) -> Range:
        """The frames that start, end and stride choose.

        Raises:
            InputError: they choose none, or are no moments.
        """
        from spvos_cli.video.moments import FIRST, Range, parse_moment

        start = parse_moment(str(self.start), "--start") if self.start is not None else FIRST
        end = parse_moment(str(self.end), "--end") if self.end is not None else None
        if end and end.is_time == start.is_time and end.order <= start.order:
            raise InputError(
                f"--end {end}",
                found=f"not after --start {start}",
                expected="a later one",
                fix="--end",
            )
        return Range(start, end, self.stride)

    def sample_range(self) -> SampleRange | None:
        """What range gives.

        Raises:
            InputError: it is no range.
        """
        from spvos_cli.video.samples import parse_range

        return None if self.range is None else parse_range(self.range)

    def rate(self) -> Fraction | None:
        """The frames a second that fps gives.

        Raises:
            InputError: it is no rate.
        """
        from spvos_cli.video.rates import parse_rate

        return None if self.fps is None else parse_rate(str(self.fps), "--fps")

    def shaping(self) -> dict[str, Any]:
        """Those that a resumed run must share with the run that it continues."""
        free = {"resume", "overwrite", "save_every", "allow_network"}
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in free}


def split_options(options: dict[str, Any], engine: type[T]) -> tuple[SegmentOptions, T]:
    """Options by name, as those of segmenting and those of the engine.

    Raises:
        TypeError: there is no option of a name.
        InputError: a value is out of its range.
    """
    own = {field.name for field in dataclasses.fields(SegmentOptions)}
    rest = {name: value for name, value in options.items() if name not in own}
    unknown = sorted(set(rest) - {field.name for field in dataclasses.fields(engine)})
    if unknown:
        raise TypeError(f"segment_video has no option {', '.join(unknown)}")
    return SegmentOptions(**{n: v for n, v in options.items() if n in own}), engine(**rest)
