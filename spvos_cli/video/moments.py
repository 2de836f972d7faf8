"""Places in a video, as people give them: a frame's number, or seconds since the first frame ("12.5s")."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from spvos_cli.errors import InputError
from spvos_cli.video.frames import Frame, Source

MOMENT = r"\d+|\d+(?:\.\d+)?s"
SAME_TIME = 1e-4  # seconds


class Moment(NamedTuple):
    """Attributes: text, as given; seconds, whether it is a time."""

    text: str

    @property
    def is_time(self) -> bool:
        """Whether it is given in seconds."""
        return self.text.endswith("s")

    def reached(self, frame: Frame) -> bool:
        """Whether a frame is at or after it."""
        if self.is_time:
            return frame.seconds >= float(self.text[:-1]) - SAME_TIME
        return frame.index >= int(self.text)

    @property
    def order(self) -> float:
        """Sorts moments of one kind."""
        return float(self.text.rstrip("s"))


class Range(NamedTuple):
    """Which frames of a source are segmented: from start, before end, every stride-th of them."""

    start: Moment = Moment("0")
    end: Moment | None = None
    stride: int = 1

    def select(self, source: Source, resume_at: int = 0) -> Iterator[Frame]:
        """Frames and their audio. Where they do not start with the source's first, times start at 0.

        Args:
            resume_at: frames before this one were done in an earlier run.
        """
        first, base, audio = None, 0, ()
        for frame in source:
            if first is None:
                if not self.start.reached(frame):
                    continue
                first = frame.index
                base = frame.pts if first else 0
                frame = frame._replace(audio=() if first else frame.audio)
            if self.end and self.end.reached(frame):
                return
            audio += frame.audio
            if (frame.index - first) % self.stride == 0:
                if frame.index >= resume_at:
                    yield shifted(frame._replace(audio=audio), base, source)
                audio = ()


def shifted(frame: Frame, base: int, source: Source) -> Frame:
    """The frame and its audio, earlier by `base` units of the source's time base."""
    for packet in frame.audio if base else ():
        shift = round(base * source.time_base / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
    return frame._replace(pts=frame.pts - base)


def parse_moment(text: str, option: str) -> Moment:
    """Raises InputError where it is neither a frame nor a time."""
    if not re.fullmatch(MOMENT, text):
        raise InputError(
            f"{option} {text}",
            found="no frame and no time",
            expected="a number such as 120, or 12.5s",
            fix=option,
        )
    return Moment(text)


def split_moment(text: str) -> tuple[Moment, str]:
    """FRAME:REST; frame 0 where none is given."""
    match = re.fullmatch(rf"({MOMENT}):(.+)", text)
    return (Moment(match[1]), match[2]) if match else (Moment("0"), text)
