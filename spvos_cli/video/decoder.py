"""One pass over a container: packets in, upright RGB and packets of sound out."""

from __future__ import annotations

import contextlib
import re
from array import array
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from spvos_cli.errors import InputError
from spvos_cli.video.clock import LATEST_START, LONGEST_GAP, Clock, GrowingTimes
from spvos_cli.video.dolby import has_own_colours
from spvos_cli.video.frames import (
    A_VIDEO,
    STILLS_RATE,
    Note,
    SameSize,
    check_size,
    no_note,
)
from spvos_cli.video.pictures import Pictures, deep_samples, is_deep_format
from spvos_cli.video.samples import SampleRange
from spvos_cli.video.tracks import TrackDecoder, choose_track
from spvos_cli.video.unreadable import why_unreadable

if TYPE_CHECKING:
    from av.container.core import Chapter

DOLBY_COLOURS = (
    "Dolby Vision of profile 5, whose colours nothing here converts: outputs will be green and purple;"
    " a copy in HLG, HDR10 or SDR is shown right"
)
NETWORK_PROTOCOLS = (
    "http,https,tls,tcp,udp,rtp,rtsp,rtmp,crypto,data"  # no file: what a server sends stays out
)
PLACE = re.compile(r"(?i)location|gps")  # metadata that tell where it was: not for who gets outputs
NO_TIMESTAMPS = 0x80  # AVFMT_NOTIMESTAMPS: raw streams
UNREADABLE = (av.FFmpegError, ValueError, NotImplementedError, MemoryError)


class Decoder:
    """One pass over a container.

    Files are opened here and handed to FFmpeg as streams, with every protocol of its own forbidden: a
    playlist reaches no other file and no network.

    Args:
        file, label, note, track: as in `VideoSource`.

    Attributes:
        audio: the sound tracks.
        clock: that times are put on.
        sound_times: which packets of them are kept.
        metadata, chapters, timecode, left_out: as in `Source`.
        rate: frames a second.
        promised: the number of frames, as far as the container says.
        damaged: parts that were passed over so far.
        pictures: what makes RGB of frames; `settle` makes it.

    Raises:
        InputError: no container, or no video stream in it.
    """

    pictures: Pictures

    def __init__(self, file: Path | BinaryIO | str, label: str, note: Note, track: int | None) -> None:
        self.label, self.note, self._file = label, note, file
        self._stream = file.open("rb") if isinstance(file, Path) else file
        self._container = self._open()
        self._video = choose_track(self._container, label, track, note)
        check_size(self._video.width, self._video.height, label, "INPUT")
        self._decoder = TrackDecoder(self._video)
        self.audio = tuple(s for s in self._container.streams.audio if s.codec_context is not None)
        self.rest: list[Packet[AudioStream]] = []  # audio after the last frame
        self.clock = Clock(self._container, [self._video, *self.audio])
        self._describe()
        self.time_base = self._video.time_base or Fraction(1, 90000)
        self.rate = self._plausible_rate()
        self.promised = self._video.frames or self._estimate()
        self.damaged = 0
        self._fit = SameSize(label, note)
        self._last: int | None = None
        self.sound_times = GrowingTimes()
        self._waiting: list[tuple[av.VideoFrame, list[Packet[AudioStream]]]] = []
        self._raw = self._frames()

    def settle(self, sample_range: SampleRange | None) -> None:
        """Looks at the first frame, which is decoded later, for how pictures become RGB."""
        for frame, audio in self._raw:
            self._waiting.append((frame, audio))
            try:
                check_size(frame.width, frame.height, self.label, "INPUT")
            except InputError:
                continue
            aspect = self._video.sample_aspect_ratio
            if has_own_colours(frame, self._video.codec_context.codec_tag):
                self.note(f"{self.label}: {DOLBY_COLOURS}")
            self.pictures = Pictures(frame, self.label, aspect, sample_range, self.note)
            return
        raise no_frame(self.label)

    def first_frame(self) -> av.VideoFrame:
        """The frame that settles how pictures become RGB.

        Raises:
            InputError: none decodes.
        """
        self.settle(None)
        return self._waiting[-1][0]

    def decoded(
        self, since: int | None = None
    ) -> Iterator[tuple[int, np.ndarray, list[Packet[AudioStream]]]]:
        """Times, images, and the audio packets since the frame before.

        Args:
            since: frames before this time are left out, which spares the making of their images.
        """
        carried: list[Packet[AudioStream]] = []
        for frame, audio in self._all_frames():
            carried += audio
            if since is not None and frame.pts is not None and frame.pts < since:
                continue
            image = self._image(frame)
            if image is not None:
                yield self._time(frame), image, carried
                carried = []
        self.rest = carried + self.rest

    @property
    def has_times(self) -> bool:
        """Whether the format says when frames are shown; raw streams do not."""
        return not self._container.format.flags & NO_TIMESTAMPS

    @property
    def is_picture(self) -> bool:
        """Whether it is an image file, for which FFmpeg has a demuxer of each kind."""
        name = self._container.format.name
        return name.endswith("_pipe") or name == "image2"

    def count(self) -> int:
        """Packets of pictures that are shown."""
        return sum(packet.size > 0 and not packet.is_discard for packet in self._packets(sound=False))

    def times(self) -> array[int] | None:
        """When each frame is shown, from the packets, without decoding; None where frames may come in another
        number or at other times than packets say."""
        found = array("q")
        for packet in self._packets():
            self.clock.move(packet)
            if packet.stream is not self._video or not packet.size:
                continue
            if packet.pts is None or packet.is_discard or packet.is_corrupt:
                return None
            found.append(packet.pts)
        times = array("q", sorted(found))
        steps = [after - before for before, after in pairwise(times)]
        longest = LONGEST_GAP / self.time_base
        if self.clock.jumps or self.damaged or not all(0 < step < longest for step in steps):
            return None
        return times

    def seek(self, pts: int) -> None:
        """To the last keyframe before a time of the container's own clock; where that fails, decoding starts
        where it is."""
        try:
            self._container.seek(pts, stream=self._video, backward=True)
            self.clock.forget()
            self._decoder.forget()
        except UNREADABLE:
            self.damaged += 1

    def close(self) -> None:
        """Closes what was opened here."""
        self._container.close()
        if not isinstance(self._stream, str):
            self._stream.close()

    def _open(self) -> InputContainer:
        options, timeout = {"protocol_whitelist": "none"}, None
        if isinstance(self._file, str):
            options, timeout = {"protocol_whitelist": NETWORK_PROTOCOLS}, (10.0, 30.0)
        try:
            return av.open(self._stream, "r", options=options, timeout=timeout, metadata_errors="replace")
        except (*UNREADABLE, OSError) as error:
            raise InputError(
                self.label, found=why_unreadable(self._file, error), expected=A_VIDEO, fix="INPUT"
            ) from error

    def _describe(self) -> None:
        """What the file says about itself."""
        told = dict(self._container.metadata)
        self.metadata = {key: text for key, text in told.items() if not PLACE.search(key)}
        self.left_out = ("the place of recording",) if len(self.metadata) < len(told) else ()
        if self._container.streams.subtitles:
            self.left_out = (*self.left_out, "subtitles")
        self.chapters: tuple[Chapter, ...] = ()
        shift = self.clock.offset
        for chapter in self._container.chapters():
            late = round(shift / (chapter["time_base"] or Fraction(1)))
            moved = chapter | {"start": chapter["start"] + late, "end": chapter["end"] + late}
            self.chapters = (*self.chapters, moved)
        texts = [self.metadata, *(stream.metadata for stream in self._container.streams)]
        self.timecode = next((text["timecode"] for text in texts if "timecode" in text), None)

    def _plausible_rate(self) -> Fraction:
        for rate in (self._video.average_rate, self._video.guessed_rate):
            if rate and Fraction(1, 3600) <= rate <= 1000:
                return rate
        return STILLS_RATE

    def _estimate(self) -> int | None:
        if not self._container.duration or not self._video.average_rate:
            return None
        return round(self._container.duration / av.time_base * self._video.average_rate)

    def _all_frames(self) -> Iterator[tuple[av.VideoFrame, list[Packet[AudioStream]]]]:
        while self._waiting:
            yield self._waiting.pop(0)
        yield from self._raw

    def _frames(self) -> Iterator[tuple[av.VideoFrame, list[Packet[AudioStream]]]]:
        """Frames with the audio packets since the one before."""
        audio: list[Packet[AudioStream]] = []
        for packet in self._packets():
            self.clock.move(packet)
            if packet.stream in self.audio:
                sound = cast("Packet[AudioStream]", packet)
                if self.sound_times.grow(sound):
                    audio.append(sound)
                continue
            for frame in self._frames_of(cast("Packet[VideoStream]", packet)):
                yield frame, audio
                audio = []
        self.rest = audio

    def _packets(self, *, sound: bool = True) -> Iterator[Packet[Stream]]:
        """All packets; a container that breaks off ends there."""
        try:
            yield from self._container.demux(self._video, *(self.audio if sound else ()))
        except UNREADABLE:
            self.damaged += 1

    def _frames_of(self, packet: Packet[VideoStream]) -> list[av.VideoFrame]:
        try:
            return self._decoder.decode(packet)
        except UNREADABLE:
            self.damaged += 1
            return []

    def _image(self, frame: av.VideoFrame) -> np.ndarray | None:
        """(H, W, 3) RGB, upright; None where it cannot be had."""
        try:
            check_size(frame.width, frame.height, self.label, "INPUT")
            return self._fit(self.pictures(frame))
        except (*UNREADABLE, InputError):
            self.damaged += 1
            return None

    def _time(self, frame: av.VideoFrame) -> int:
        """Its pts where that is later than the last one's, as encoders need; else one step later."""
        pts, last = frame.pts, self._last
        if last is None:
            self._last = pts if pts is not None and abs(pts * self.time_base) <= LATEST_START else 0
        elif pts is not None and last < pts <= last + LONGEST_GAP / self.time_base:
            self._last = pts
        else:
            self._last = last + max(1, round(1 / (self.rate * self.time_base)))
        return self._last


def still_picture(file: Path) -> np.ndarray:
    """The first picture of a file that FFmpeg reads: (H, W, 3) uint8; or float32, also (H, W), as it is.

    Raises:
        InputError: there is none.
    """
    with contextlib.closing(Decoder(file, str(file), no_note, None)) as decoder:
        if not decoder.is_picture:
            raise InputError(file, found="a video", expected="an image", fix="its own suffix")
        frame = decoder.first_frame()
        return deep_samples(frame) if is_deep_format(frame.format) else decoder.pictures(frame)


def no_frame(label: str) -> InputError:
    """What to say of a video of which nothing decodes."""
    return InputError(label, found="a video without a frame that decodes", expected=A_VIDEO, fix="INPUT")
