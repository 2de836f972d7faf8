"""Where frames come from: a video file, standard input, or a folder of images."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, NamedTuple

import av
import numpy as np
from av.audio.stream import AudioStream
from PIL import Image, ImageOps, UnidentifiedImageError

from spvos_cli.data.folders import IMAGE_SUFFIXES, natural_order
from spvos_cli.errors import InputError

STILLS_RATE = Fraction(24)  # frames a second of an image folder
A_VIDEO = "a video file, a folder of images, or - for standard input"


class Frame(NamedTuple):
    """One frame of a source.

    Attributes:
        index: from 0.
        image: (H, W, 3) uint8, RGB, upright.
        name: file name without suffix for what belongs to this frame.
        pts: when it is shown, in units of the source's time base.
        audio: encoded packets that came before it.
    """

    index: int
    image: np.ndarray
    name: str
    pts: int
    audio: tuple[av.Packet, ...] = ()


class Source:
    """Frames in order, each once, with what is known before they are decoded.

    Attributes:
        name: of the input, without suffix; outputs are named after it.
        frames: how many to expect, None where nobody says.
        width, height: of the first frame, upright.
        rate: frames a second, the average where it varies.
        time_base: seconds in a unit of `Frame.pts`.
        audio: the stream that `Frame.audio` belongs to.
    """

    name: str
    frames: int | None
    width: int
    height: int
    rate: Fraction
    time_base: Fraction
    audio: AudioStream | None = None

    def __iter__(self) -> Iterator[Frame]:
        raise NotImplementedError

    def close(self) -> None:
        """Closes files; also what happens when iteration ends."""


class VideoSource(Source):
    """A container that FFmpeg reads.

    Args:
        file: a path, or an open binary stream.
        label: what to call it in messages.

    Raises:
        InputError: no container, no video stream in it, or no frame that decodes.
    """

    def __init__(self, file: Path | BinaryIO, label: str) -> None:
        self.label = label
        target, options = (
            (f"file:{file}", {"protocol_whitelist": "file"}) if isinstance(file, Path) else (file, {})
        )
        try:
            self._container = av.open(target, options=options)
        except (av.FFmpegError, OSError) as error:
            raise InputError(label, f"not readable as video ({_reason(error)})", A_VIDEO, "INPUT") from error
        if not self._container.streams.video:
            raise InputError(label, "no video stream", A_VIDEO, "INPUT")
        self._video = self._container.streams.video[0]
        self._video.thread_type = "AUTO"
        self.audio = next(iter(self._container.streams.audio), None)
        self.name = file.stem if isinstance(file, Path) else "stdin"
        self.frames = self._video.frames or self._estimate()
        self.time_base = self._video.time_base
        self.rate = self._video.average_rate or self._video.guessed_rate or STILLS_RATE
        self._decoded = self._decode()
        self._first = next(self._decoded, None)
        if self._first is None:
            raise InputError(label, "a video without a frame that decodes", A_VIDEO, "INPUT")
        self.height, self.width = self._first.image.shape[:2]

    def __iter__(self) -> Iterator[Frame]:
        yield self._first
        yield from self._decoded

    def close(self) -> None:
        self._container.close()

    def _decode(self) -> Iterator[Frame]:
        index, last_pts, audio = 0, -1, []
        streams = [self._video] + ([self.audio] if self.audio else [])
        for packet in self._container.demux(*streams):
            if packet.stream is self.audio:
                if packet.dts is not None:
                    audio.append(packet)
                continue
            for frame in packet.decode():
                pts = frame.pts if frame.pts is not None else last_pts + self._step()
                image = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90) % 4)
                yield Frame(index, np.ascontiguousarray(image), f"{index:05d}", pts, tuple(audio))
                index, last_pts, audio = index + 1, pts, []

    def _step(self) -> int:
        return max(1, round(1 / (self.rate * self.time_base)))

    def _estimate(self) -> int | None:
        if not self._container.duration or not self._video.average_rate:
            return None
        return round(self._container.duration / av.time_base * self._video.average_rate)


class ImageSource(Source):
    """Image files, one a frame.

    Raises:
        InputError: the first one is no image.
    """

    def __init__(self, files: list[Path], name: str) -> None:
        self.files, self.name = files, name
        self.frames, self.rate, self.time_base = len(files), STILLS_RATE, 1 / STILLS_RATE
        self.height, self.width = read_image(files[0]).shape[:2]

    def __iter__(self) -> Iterator[Frame]:
        for index, file in enumerate(self.files):
            yield Frame(index, read_image(file), file.stem, index)


def open_source(text: str) -> Source:
    """The source that INPUT names: a video file, a folder of images, a glob of images, or `-` for standard
    input.

    Raises:
        InputError: there is nothing, or nothing that can be read as frames.
    """
    if text == "-":
        return VideoSource(sys.stdin.buffer, "standard input")
    path = Path(text)
    if path.is_dir():
        files = [file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES]
        if not files:
            raise InputError(path, "a folder without images", A_VIDEO, "INPUT")
        return ImageSource(sorted(files, key=natural_order), path.resolve().name)
    if path.is_file():
        return VideoSource(path, text)
    if files := [Path(file) for file in glob.glob(text)]:
        return ImageSource(sorted(files, key=natural_order), files[0].resolve().parent.name)
    raise InputError(text, "no such file", A_VIDEO, "INPUT")


def read_image(file: Path) -> np.ndarray:
    """(H, W, 3) uint8, RGB, turned as its EXIF data says.

    Raises:
        InputError: it is no image.
    """
    try:
        with Image.open(file) as image:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise InputError(file, f"not readable as an image ({error})", "an image", "INPUT") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
