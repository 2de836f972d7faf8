"""Frames of a video file or stream: whatever FFmpeg reads, with what is broken in it passed over."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np

from spvos_cli.errors import InputError
from spvos_cli.video.clock import LATEST_START, LONGEST_GAP, Clock
from spvos_cli.video.colours import UNSPECIFIED, Colours
from spvos_cli.video.frames import A_VIDEO, MAX_PIXELS, STILLS_RATE, Frame, Note, SameSize, Source, check_size

NETWORK_PROTOCOLS = (
    "http,https,tls,tcp,udp,rtp,rtsp,rtmp,crypto,data"  # no file: what a server sends stays out
)
CHUNK_BYTES = 2**28  # decoded frames held at a time when reading backwards
NO_TIMESTAMPS = 0x80  # AVFMT_NOTIMESTAMPS: raw streams
LOST_SOUND = 0.1  # seconds of sound that may go without a word
UNREADABLE = (av.FFmpegError, ValueError, NotImplementedError, MemoryError)


class VideoSource(Source):
    """A container that FFmpeg reads.

    Files are opened here and handed to FFmpeg as streams, with every protocol of its own forbidden: a
    playlist reaches no other file and no network.

    Args:
        file: a path, an open binary stream, or the address of a network stream.
        label: what to call it in messages.
        note: takes remarks about what had to be passed over.

    Raises:
        InputError: no container, no video stream in it, or no frame that decodes.
    """

    def __init__(self, file: Path | BinaryIO | str, label: str, note: Note = lambda text: None) -> None:
        self.label, self.note, self._file = label, note, file
        self._stream = file.open("rb") if isinstance(file, Path) else file
        self._container = self._open()
        decodable = [stream for stream in self._container.streams.video if stream.codec_context is not None]
        if not decodable:
            found = (
                "a format that nothing here decodes" if self._container.streams.video else "no video stream"
            )
            raise InputError(label, found=found, expected=A_VIDEO, fix="INPUT")
        self._video = decodable[0]
        self._video.thread_type = "AUTO"
        check_size(self._video.width, self._video.height, label, "INPUT")
        self._video.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        self.audio = tuple(s for s in self._container.streams.audio if s.codec_context is not None)
        self._clock = Clock(self._container, [self._video, *self.audio])
        self._describe()
        self.name = (
            file.stem if isinstance(file, Path) else "stdin" if not isinstance(file, str) else "stream"
        )
        self.time_base = self._video.time_base or Fraction(1, 90000)
        self.rate = self._plausible_rate()
        self.frames = self._video.frames or self._estimate()
        self.damaged = 0
        self._fit = SameSize(label, note)
        self._last: int | None = None
        self._last_audio: dict[int, float] = {}
        self._lost_audio = 0.0  # seconds
        self._decoded = self._number()
        self._first = next(self._decoded, None)
        if self._first is None:
            raise InputError(
                label, found="a video without a frame that decodes", expected=A_VIDEO, fix="INPUT"
            )
        self.height, self.width = self._first.image.shape[:2]
        self.begins = self._first.pts * self.time_base

    @property
    def colours(self) -> Colours:
        return self._colours

    def __iter__(self) -> Iterator[Frame]:
        yield self._first
        yield from self._decoded
        if self.damaged:
            self.note(f"{self.label}: {self.damaged} damaged parts were passed over")
        if self._lost_audio >= LOST_SOUND:
            found = f"{self._lost_audio:.1f} s of sound have times that do not go on"
            self.note(f"{self.label}: {found}, and are left out")

    def set_rate(self, rate: Fraction) -> None:
        if not self._container.format.flags & NO_TIMESTAMPS:
            super().set_rate(rate)
        self.time_base, self.rate = self.time_base * self.rate / rate, rate

    def backwards(self, stop: int) -> Iterator[Frame]:
        if not isinstance(self._file, Path):
            raise InputError(
                self.label,
                found="a stream, read once",
                expected="a file to read backwards",
                fix="save it first",
            )
        times = [(frame.pts, frame.seconds) for frame in self._until(stop)]
        step = max(1, CHUNK_BYTES // (3 * self.width * self.height))
        for end in range(len(times), 0, -step):
            begin = max(0, end - step)
            chunk = self._between(times[begin][0], times[end - 1][0])
            for index in range(end - 1, begin - 1, -1):
                pts, seconds = times[index]
                if pts in chunk:  # missing where a damaged file decodes differently after a jump
                    yield Frame(index, chunk[pts], f"{index:05d}", pts, (), seconds)

    def close(self) -> None:
        if isinstance(self._file, Path):  # in a stream a thread may still wait for more
            self._container.close()
            self._stream.close()

    def _open(self) -> av.container.InputContainer:
        options, timeout = {"protocol_whitelist": "none"}, None
        if isinstance(self._file, str):
            options, timeout = {"protocol_whitelist": NETWORK_PROTOCOLS}, (10.0, 30.0)
        try:
            return av.open(self._stream, options=options, timeout=timeout, metadata_errors="replace")
        except (*UNREADABLE, OSError) as error:
            found = f"not readable as video ({_reason(error)})"
            raise InputError(self.label, found=found, expected=A_VIDEO, fix="INPUT") from error

    def _describe(self) -> None:
        """What the file says about itself."""
        self.metadata = dict(self._container.metadata)
        shift = self._clock.offset
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

    def _until(self, stop: int) -> Iterator[Frame]:
        for frame in self:
            if frame.index >= stop:
                return
            yield frame

    def _number(self) -> Iterator[Frame]:
        start = None
        for index, (pts, image, audio) in enumerate(self._decode()):
            start = pts if start is None else start
            seconds = float((pts - start) * self.time_base)
            yield Frame(index, image, f"{index:05d}", pts, tuple(audio), seconds)

    def _decode(self) -> Iterator[tuple[int, np.ndarray, list[av.Packet]]]:
        """Times, images, and the audio packets since the frame before."""
        audio: list[av.Packet] = []
        for packet in self._packets():
            self._clock.move(packet)
            if packet.stream in self.audio:
                if self._fits(packet):
                    audio.append(packet)
                continue
            for frame in self._frames_of(packet):
                image = self._image(frame)
                if image is not None:
                    yield self._time(frame), image, audio
                    audio = []

    def _packets(self) -> Iterator[av.Packet]:
        """All packets; a container that breaks off ends there."""
        try:
            yield from self._container.demux(self._video, *self.audio)
        except UNREADABLE:
            self.damaged += 1

    def _fits(self, packet: av.Packet) -> bool:
        """Whether an audio packet is later than its stream's one before, and not by too much, as containers
        need."""
        fits, stream = False, packet.stream.index
        if packet.pts is not None and packet.dts is not None:
            seconds, last = float(packet.pts * packet.time_base), self._last_audio.get(stream)
            fits = last < seconds <= last + LONGEST_GAP if last is not None else abs(seconds) < LATEST_START
            if fits:
                self._last_audio[stream] = seconds
        if not fits:
            self._lost_audio += float((packet.duration or 0) * packet.time_base)
        return fits

    def _frames_of(self, packet: av.Packet) -> list[av.VideoFrame]:
        try:
            return packet.decode()
        except UNREADABLE:
            self.damaged += 1
            return []

    def _image(self, frame: av.VideoFrame) -> np.ndarray | None:
        """(H, W, 3) RGB, upright; None where it cannot be had."""
        try:
            check_size(frame.width, frame.height, self.label, "INPUT")
            turns = round(frame.rotation / 90) % 4
            if int(frame.colorspace) == UNSPECIFIED and not frame.format.is_rgb:
                frame.colorspace = Colours.of_size(frame.height).matrix
            image = np.rot90(frame.to_ndarray(format="rgb24"), turns)
        except (*UNREADABLE, InputError):
            self.damaged += 1
            return None
        if self._last is None:
            aspect = self._video.sample_aspect_ratio or Fraction(1)
            aspect = aspect if Fraction(1, 16) <= aspect <= 16 else Fraction(1)
            tags = (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range)
            self._colours = Colours.of_tags(frame.height, *map(int, tags))
            self.pixel_aspect = 1 / aspect if turns % 2 else aspect
        return self._fit(np.ascontiguousarray(image))

    def _time(self, frame: av.VideoFrame) -> int:
        """Its pts where that is later than the last one's, as encoders need; else one step later."""
        pts, last = frame.pts, self._last
        if last is None:
            late = pts is None or abs(pts * self.time_base) > LATEST_START
            self._last = 0 if late else pts
        elif pts is not None and last < pts <= last + LONGEST_GAP / self.time_base:
            self._last = pts
        else:
            self._last = last + max(1, round(1 / (self.rate * self.time_base)))
        return self._last

    def _from(self, first: int, clock: Clock) -> Iterator[tuple[int, np.ndarray]]:
        """Times and images from some frame on that is not after a time of another source of the same file."""
        if clock.jumps:  # the place in the file cannot be told from the time
            yield from ((frame.pts, frame.image) for frame in self)
            return
        place = first - round(clock.offset / self.time_base)
        self._container.seek(place, stream=self._video, backward=True)
        self._clock.forget()
        self._last = None
        yield from ((pts, image) for pts, image, _ in self._decode())

    def _between(self, first: int, last: int) -> dict[int, np.ndarray]:
        """Images of the frames from one time to another, by time."""
        images: dict[int, np.ndarray] = {}
        again = VideoSource(self._file, self.label)
        try:
            for pts, image in again._from(first, self._clock):
                if first <= pts <= last:
                    images[pts] = image
                if pts >= last:
                    break
        except UNREADABLE:
            self.damaged += 1
        finally:
            again.close()
        return images


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
