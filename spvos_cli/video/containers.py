"""Frames of a video file or stream: whatever FFmpeg reads, with what is broken in it passed over."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np

from spvos_cli.errors import InputError
from spvos_cli.video.colours import Colours
from spvos_cli.video.decoder import Decoder, no_frame
from spvos_cli.video.frames import Frame, Note, Source, no_note
from spvos_cli.video.samples import SampleRange

CHUNK_BYTES = 2**28  # decoded frames held at a time when reading backwards
LOST_SOUND = 0.1  # seconds of sound that may go without a word


class VideoSource(Source):
    """A container that FFmpeg reads.

    Args:
        file: a path, an open binary stream, or the address of a network stream.
        label: what to call it in messages.
        note: takes remarks about what had to be passed over.
        track: the video track, counted from 0; None for the one that players show.
        sample_range: of samples of more than 8 bits; None to measure it.

    Attributes:
        decoder: the pass over the container that its frames come from.

    Raises:
        InputError: no container, no video stream in it, or no frame that decodes.
    """

    def __init__(
        self,
        file: Path | BinaryIO | str,
        label: str,
        note: Note = no_note,
        *,
        track: int | None = None,
        sample_range: SampleRange | None = None,
    ) -> None:
        self.label, self.note, self._file, self._track = label, note, file, track
        self.name = (
            file.stem if isinstance(file, Path) else "stdin" if not isinstance(file, str) else "stream"
        )
        self.decoder = Decoder(file, label, note, track)
        self.decoder.settle(sample_range)
        self.time_base, self.rate = self.decoder.time_base, self.decoder.rate
        self.frames, self.audio = self.decoder.promised, self.decoder.audio
        pictures = self.decoder.pictures
        self.pixel_aspect, self.orientation = pictures.pixel_aspect, pictures.orientation
        self._colours, self.timed = pictures.colours, self.decoder.has_times
        self.metadata, self.chapters = self.decoder.metadata, self.decoder.chapters
        self.timecode, self.left_out = self.decoder.timecode, self.decoder.left_out
        self._decoded = self._number()
        first = next(self._decoded, None)
        if first is None:
            raise no_frame(label)
        self._first: Frame = first
        self.height, self.width = first.image.shape[:2]
        self.begins = first.pts * self.time_base
        self._counted: int | None = None
        self._times: list[array[int] | None] = []  # once they are read

    @property
    def colours(self) -> Colours:
        return self._colours

    def __iter__(self) -> Iterator[Frame]:
        yield self._first
        yield from self._decoded
        self.rest = tuple(self.decoder.rest)
        if damaged := self.decoder.damaged:
            self.note(f"{self.label}: {damaged} damaged parts were passed over")
        if (lost := self.decoder.sound_times.lost) >= LOST_SOUND:
            found = f"{lost:.1f} s of sound have times that do not go on"
            self.note(f"{self.label}: {found}, and are left out")

    def set_rate(self, rate: Fraction) -> None:
        if self.decoder.has_times:
            super().set_rate(rate)
        self.time_base, self.rate = self.time_base * self.rate / rate, rate

    def backwards(self, stop: int) -> Iterator[Frame]:
        if not isinstance(self._file, Path):
            raise self._read_once("to read backwards")
        times = [(frame.pts, frame.seconds) for frame in self._until(stop)]
        step = max(1, CHUNK_BYTES // (3 * self.width * self.height))
        for end in range(len(times), 0, -step):
            begin = max(0, end - step)
            chunk = self._between(times[begin][0], times[end - 1][0])
            for index in range(end - 1, begin - 1, -1):
                pts, seconds = times[index]
                if pts in chunk:  # missing where a damaged file decodes differently after a jump
                    yield Frame(index, chunk[pts], f"{index:05d}", pts, (), seconds)

    def frames_from(self, first: int) -> Iterator[Frame]:
        """A jump to the keyframe before, where the packets tell the times of all frames."""
        if not isinstance(self._file, Path):
            raise self._read_once("to jump in")
        index, times = first, self._frame_times() if first else None
        if times is not None and first < len(times):
            for frame in self._jumped(first, times):
                yield frame
                index = frame.index + 1
        if times is not None and index >= len(times):
            return
        with self._again() as again:
            start: int | None = None
            for number, (pts, image, _) in enumerate(again.decoded()):
                start = pts if start is None else start
                if number >= index:
                    yield self._plain(number, image, pts, start)

    def _jumped(self, first: int, times: array[int]) -> Iterator[Frame]:
        """Frames from number `first` on, as long as they come at the times that are known."""
        with self._again() as again:
            again.seek(times[first] - round(again.clock.offset / self.time_base))
            decoded = again.decoded(since=times[first])
            for index, (pts, image, _) in zip(range(first, len(times)), decoded, strict=False):
                if pts != times[index] or image.shape[:2] != (self.height, self.width):
                    return
                yield self._plain(index, image, pts, times[0])

    def _plain(self, index: int, image: np.ndarray, pts: int, start: int) -> Frame:
        """A frame without sound."""
        return Frame(index, image, self.name_of(index), pts, (), float((pts - start) * self.time_base))

    def _frame_times(self) -> array[int] | None:
        """As `Decoder.times`, read once."""
        if not self._times:
            with self._again() as again:
                self._times.append(again.times())
        return self._times[0]

    @contextlib.contextmanager
    def _again(self) -> Iterator[Decoder]:
        """Another pass over the file, which makes the same pictures of frames."""
        with contextlib.closing(Decoder(self._file, self.label, no_note, self._track)) as again:
            again.pictures = self.decoder.pictures
            yield again

    def count(self) -> int | None:
        """From a file's packets, without decoding them."""
        if isinstance(self._file, Path) and self._counted is None:
            with contextlib.closing(Decoder(self._file, self.label, no_note, self._track)) as again:
                self._counted = again.count()
        return self._counted

    def close(self) -> None:
        if isinstance(self._file, Path):  # in a stream a thread may still wait for more
            self.decoder.close()

    def _read_once(self, purpose: str) -> InputError:
        expected, fix = f"a file {purpose}", "save it first"
        return InputError(self.label, found="a stream, read once", expected=expected, fix=fix)

    def _until(self, stop: int) -> Iterator[Frame]:
        for frame in self:
            if frame.index >= stop:
                return
            yield frame

    def _number(self) -> Iterator[Frame]:
        start = None
        for index, (pts, image, audio) in enumerate(self.decoder.decoded()):
            start = pts if start is None else start
            seconds = float((pts - start) * self.time_base)
            yield Frame(index, image, f"{index:05d}", pts, tuple(audio), seconds)

    def _between(self, first: int, last: int) -> dict[int, np.ndarray]:
        """Images of the frames from one time to another, by time."""
        images: dict[int, np.ndarray] = {}
        with self._again() as again:
            if not self.decoder.clock.jumps:  # else the place in the file cannot be told from the time
                again.seek(first - round(self.decoder.clock.offset / self.time_base))
            for pts, image, _ in again.decoded():
                if first <= pts <= last:
                    images[pts] = image
                if pts >= last:
                    break
            self.decoder.damaged += again.damaged
        return images
