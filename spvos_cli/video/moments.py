"""Places in a video, as people give them: a frame's number, or seconds since the first frame ("12.5s")."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from spvos_cli.errors import InputError
from spvos_cli.video.frames import Frame, Source

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.packet import Packet

MOMENT = r"\d+|\d+(?:\.\d+)?s"
SAME_TIME = 1e-4  # seconds


@dataclasses.dataclass(frozen=True)
class Moment:
    """A place in a video: a frame by its number, or by a time that it is shown at or after.

    Attributes:
        frame: the frame's number, from 0; None for a time.
        seconds: since the source's first frame; None for a number.
        called: the number that the frame has in its file's name, for messages.
    """

    frame: int | None = None
    seconds: float | None = None
    called: int | None = dataclasses.field(default=None, compare=False)

    def __post_init__(self) -> None:
        if (self.frame is None) == (self.seconds is None):
            raise ValueError("a moment is a frame's number or a time")

    def __str__(self) -> str:
        """As options take it: 7 or 12.5s."""
        if self.seconds is not None:
            return f"{self.seconds:.12g}s"
        return str(self.frame if self.called is None else self.called)

    @property
    def is_time(self) -> bool:
        """Whether it is given in seconds."""
        return self.seconds is not None

    @property
    def order(self) -> float:
        """Sorts moments of one kind."""
        return float(self.frame if self.frame is not None else self.seconds or 0)

    def reached(self, frame: Frame) -> bool:
        """Whether a frame is at or after it."""
        if self.frame is not None:
            return frame.index >= self.frame
        return frame.seconds >= self.order - SAME_TIME

    def in_source(self, source: Source, what: str) -> Moment:
        """The same with the frame's place for its number, where frames are files that have numbers.

        Args:
            what: the option that gave it, for messages.

        Raises:
            InputError: no file has the number.
        """
        index = None if self.frame is None else source.index_of_number(self.frame)
        if self.frame is not None and index is None:
            first, last = source.number(0), source.number((source.frames or 1) - 1)
            raise InputError(
                what,
                found=f"no frame {self.frame}",
                expected=f"a number in a frame's file name, {first} to {last}",
                fix="the file's number",
            )
        return self if index is None else Moment(index, called=source.number(index))

    def is_frame(self, index: int) -> bool:
        """Whether it is the number of this frame; a time is none."""
        return self.frame == index


FIRST = Moment(0)


class Range(NamedTuple):
    """Which frames of a source are segmented: from start, before end, every stride-th of them."""

    start: Moment = FIRST
    end: Moment | None = None
    stride: int = 1

    def passes_over(self, moment: Moment) -> bool:
        """Whether a frame's number is before the start, at or after the end, or between two strides."""
        if moment.frame is None or self.start.frame is None:
            return False
        if self.end is not None and self.end.frame is not None and moment.frame >= self.end.frame:
            return True
        return moment.frame < self.start.frame or (moment.frame - self.start.frame) % self.stride > 0

    def in_source(self, source: Source) -> Range:
        """The same with places for numbers, where frames are files that have numbers.

        Raises:
            InputError: it starts after the last frame.
        """
        start, end = self.start.in_source(source, f"--start {self.start}"), self.end
        if end is not None and end.frame is not None:
            end = Moment(source.first_from(end.frame), called=end.frame)
        if start.frame and source.frames is not None and start.frame >= source.frames:
            count = source.count()
            if count is not None and start.frame >= count:
                raise InputError(
                    f"--start {self.start}",
                    found="beyond the end",
                    expected=f"a frame from 0 to {count - 1}",
                    fix="--start",
                )
        return self._replace(start=start, end=end)

    def select(self, source: Source, resume_at: int = 0) -> Iterator[Frame]:
        """Frames and their audio. Where they do not start with the source's first, times start at 0.

        Args:
            resume_at: frames before this one were done in an earlier run.
        """
        first: int | None = None
        base = 0
        audio: tuple[Packet[AudioStream], ...] = ()
        for frame in source:
            audio += frame.audio
            if first is None:
                if not self.start.reached(frame):
                    audio = later_sound(audio, frame.pts * source.time_base)
                    continue
                first = frame.index
                base = frame.pts if first else 0
                audio = later_sound(audio, base * source.time_base) if first else audio
            if self.end and self.end.reached(frame):
                return
            if (frame.index - first) % self.stride == 0:
                if frame.index >= resume_at:
                    yield shifted(frame._replace(audio=audio), base, source)
                audio = ()
        source.rest = audio + source.rest if first is not None else ()
        shift_sound(source.rest, base * source.time_base)


def shifted(frame: Frame, base: int, source: Source) -> Frame:
    """The frame and its audio, earlier by `base` units of the source's time base."""
    shift_sound(frame.audio, base * source.time_base)
    return frame._replace(pts=frame.pts - base)


def shift_sound(packets: tuple[Packet[AudioStream], ...], seconds: Fraction) -> None:
    """Makes packets earlier."""
    for packet in packets if seconds else ():
        shift = round(seconds / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.dts = None if packet.dts is None else packet.dts - shift


def later_sound(
    packets: tuple[Packet[AudioStream], ...], seconds: Fraction
) -> tuple[Packet[AudioStream], ...]:
    """Packets from a time on: decoders give a frame when the sound of later ones is read already."""
    return tuple(p for p in packets if p.pts is not None and p.pts * p.time_base >= seconds)


def parse_moment(text: str, option: str) -> Moment:
    """Raises InputError where it is neither a frame nor a time."""
    if not re.fullmatch(MOMENT, text):
        raise InputError(
            f"{option} {text}",
            found="no frame and no time",
            expected="a number such as 120, or 12.5s",
            fix=option,
        )
    return _moment(text)


def split_moment(text: str) -> tuple[Moment, str]:
    """FRAME:REST; frame 0 where none is given."""
    match = re.fullmatch(rf"({MOMENT}):(.+)", text)
    return (_moment(match[1]), match[2]) if match else (FIRST, text)


def _moment(text: str) -> Moment:
    return Moment(seconds=float(text[:-1])) if text.endswith("s") else Moment(int(text))
