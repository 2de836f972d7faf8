"""One clock for a container's streams, which begins at 0 and goes on where the container's falls back."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

TS_DISCONT = 0x200  # AVFMT_TS_DISCONT, of a format whose clock may jump
PRIMING = Fraction(1, 2)  # seconds before 0 in which encoders put what their sound needs to begin
BACK = Fraction(1, 10)  # seconds by which times of a stream may fall back, as FFmpeg allows
GAP = Fraction(10)  # the longest one between packets of a format whose clock may jump, as FFmpeg allows
LONGEST_GAP = Fraction(10_000)  # of any other format; a longer one is a damaged time
LATEST_START = Fraction(10**7)


class Clock:
    """Moves packets: first by the earliest start of the streams; where one stream's times fall back, or leap,
    by what makes that stream go on, all streams by the same.

    Args:
        container: that the packets are of.
        streams: those that are read.

    Attributes:
        offset: seconds that are added to the container's times.
        jumps: how often its clock fell back or leapt.
    """

    def __init__(self, container: InputContainer, streams: Iterable[Stream]) -> None:
        starts = [s.start_time * s.time_base for s in streams if s.start_time is not None and s.time_base]
        first = min(starts, default=Fraction(0))
        self.offset = Fraction(0) if -PRIMING <= first <= 0 or abs(first) > LATEST_START else -first
        self.jumps = 0
        self._gap = GAP if container.format.flags & TS_DISCONT else LONGEST_GAP
        self._before = self.offset  # the last jump
        self._last: dict[int, tuple[Fraction, Fraction]] = {}  # by stream: its last packet's time and end

    def move(self, packet: Packet[Any]) -> None:
        """Puts a packet on this clock, and the clock forward where the packet does not fit."""
        if packet.time_base is None:
            return
        if packet.dts is not None:  # times of presentation fall back wherever frames are reordered
            self._follow(packet.dts * packet.time_base, packet)
        shift = round(self.offset / packet.time_base)
        if packet.pts is not None:
            packet.pts += shift
        if packet.dts is not None:
            packet.dts += shift

    def _follow(self, time: Fraction, packet: Packet[Any]) -> None:
        index = packet.stream.index
        if index in self._last and not self._fits(time + self.offset, index):
            offset = self._before if self._fits(time + self._before, index) else self._last[index][1] - time
            self._before, self.offset = self.offset, offset
            self.jumps += 1
        length = (packet.duration or 0) * packet.time_base
        self._last[index] = time + self.offset, time + self.offset + length

    def forget(self) -> None:
        """After a seek: the next packets go on from nothing."""
        self._last.clear()

    def _fits(self, time: Fraction, index: int) -> bool:
        last, end = self._last[index]
        return last - BACK <= time <= end + self._gap


class GrowingTimes:
    """The times of sound tracks' packets, as containers need them.

    Attributes:
        lost: seconds of sound that do not have such times.
    """

    def __init__(self) -> None:
        self.lost = 0.0
        self._last: dict[int, float] = {}  # by stream

    def grow(self, packet: Packet[AudioStream]) -> bool:
        """Whether a packet is later than its stream's last one for which this held, and not by too much."""
        fits, stream = False, packet.stream.index
        if packet.pts is not None and packet.dts is not None:
            seconds, last = float(packet.pts * packet.time_base), self._last.get(stream)
            fits = last < seconds <= last + LONGEST_GAP if last is not None else abs(seconds) < LATEST_START
            if fits:
                self._last[stream] = seconds
        if not fits:
            self.lost += float((packet.duration or 0) * packet.time_base)
        return fits
