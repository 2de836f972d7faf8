"""What `spvos segment` and `segment_video` take besides the network's options; the names are the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from spvos_cli.errors import InputError
from spvos_cli.video.moments import FIRST, Range, parse_moment

SAVE_SECONDS = 10.0  # between saved states: what a killed run loses at most


@dataclasses.dataclass(frozen=True)
class SegmentOptions:
    """How a video is read, followed and written. Moments are frame numbers (120) or seconds ("12.5s").

    Attributes:
        box: "[FRAME:]X,Y,W,H", an object each, whose first mask GrabCut makes.
        start: the first frame that is segmented.
        end: the frame before which it ends.
        stride: every n-th frame from start.
        backward: also from the masks towards the start.
        format: what "-" as an output is: "mkv", the label video, or "jsonl", the records.
        preview: writes the overlay of every n-th frame into a folder; 0: none.
        overlay_alpha: how much an object's colour covers it, 0 to 1.
        contour: width in pixels of the lines around objects; 0: none.
        colours: "red,#00ff00" in the order of ids, or "3=blue".
        live: drops frames where segmenting is slower than they come.
        allow_network: whether INPUT may be the address of a stream.
        resume: goes on with an interrupted run of the same options.
        overwrite: whether existing outputs may be replaced.
        save_every: seconds between saved states.
    """

    box: str | Sequence[str] = ()
    start: int | str | None = None
    end: int | str | None = None
    stride: int = 1
    backward: bool = False
    format: str = "mkv"
    preview: int = 0
    overlay_alpha: float = 0.5
    contour: int = 1
    colours: str | None = None
    live: bool = False
    allow_network: bool = False
    resume: bool = False
    overwrite: bool = False
    save_every: float = SAVE_SECONDS

    @property
    def boxes(self) -> list[str]:
        """One or several."""
        return [self.box] if isinstance(self.box, str) else list(self.box or ())

    def range(self) -> Range:
        """The frames that start, end and stride choose.

        Raises:
            InputError: they choose none, or are no moments.
        """
        start = parse_moment(str(self.start), "--start") if self.start is not None else FIRST
        end = parse_moment(str(self.end), "--end") if self.end is not None else None
        if end and end.is_time == start.is_time and end.order <= start.order:
            raise InputError(
                f"--end {end}",
                found=f"not after --start {start}",
                expected="a later one",
                fix="--end",
            )
        if self.stride < 1:
            raise InputError(
                f"--stride {self.stride}", found="not positive", expected="1 or more", fix="--stride"
            )
        return Range(start, end, self.stride)

    def shaping(self) -> dict[str, Any]:
        """Those that a resumed run must share with the run that it continues."""
        free = {"resume", "overwrite", "save_every", "allow_network"}
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in free}


def split_options(options: dict[str, Any], engine: type) -> tuple[SegmentOptions, Any]:
    """Options by name, as those of segmenting and those of the engine.

    Raises:
        TypeError: there is no option of a name.
    """
    own = {field.name for field in dataclasses.fields(SegmentOptions)}
    rest = {name: value for name, value in options.items() if name not in own}
    unknown = sorted(set(rest) - {field.name for field in dataclasses.fields(engine)})
    if unknown:
        raise TypeError(f"segment_video has no option {', '.join(unknown)}")
    return SegmentOptions(**{n: v for n, v in options.items() if n in own}), engine(**rest)
