"""Frames of image files, and of the animations that Pillow reads."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from spvos_cli.errors import InputError
from spvos_cli.video.frames import STILLS_RATE, Frame, Note, SameSize, Source, check_size
from spvos_cli.video.numbers import numbers_of

ANIMATIONS = {".gif", ".webp", ".png", ".apng"}
DEFAULT_MS = 100  # of an animation's frame that has no duration, as browsers show it
UNREADABLE = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    OSError,
    ValueError,
    SyntaxError,
    IndexError,
    KeyError,
    TypeError,
    EOFError,
    MemoryError,
    OverflowError,
    NotImplementedError,
    struct.error,
    zlib.error,
)  # what Pillow's plugins raise for damaged files

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # `check_size` is stricter


class ImageSource(Source):
    """Image files, one a frame, all scaled to the size of the first.

    Raises:
        InputError: the first one is no image.
    """

    def __init__(self, files: list[Path], name: str, note: Note = lambda text: None) -> None:
        self.files, self.name = files, name
        self._fit = SameSize(name, note)
        self.frames, self.rate, self.time_base = len(files), STILLS_RATE, 1 / STILLS_RATE
        self.height, self.width = self._fit(read_image(files[0])).shape[:2]
        self._names = distinct_names(files)
        self._places = {name: index for index, name in enumerate(self._names)}
        self._numbers = numbers_of([file.stem for file in files])
        self._by_number = {number: index for index, number in enumerate(self._numbers or [])}

    def __iter__(self) -> Iterator[Frame]:
        return map(self._frame, range(len(self.files)))

    def backwards(self, stop: int) -> Iterator[Frame]:
        return map(self._frame, range(min(stop, len(self.files)) - 1, -1, -1))

    def index_of(self, name: str) -> int | None:
        return self._places.get(name)

    def index_of_number(self, number: int) -> int | None:
        if self._numbers is None:
            return number
        first = 0 if number == 0 else None  # a file without the number 0: the first one is meant
        return self._by_number.get(number, first)

    def first_from(self, number: int) -> int:
        if self._numbers is None:
            return number
        return next((i for i, n in enumerate(self._numbers) if n >= number), len(self.files))

    def number(self, index: int) -> int:
        return index if self._numbers is None else self._numbers[index]

    def number_of(self, frame: Frame) -> int:
        return self.number(frame.index)

    def set_rate(self, rate: Fraction) -> None:
        self.rate, self.time_base = rate, 1 / rate

    def file_name(self, frame: Frame) -> str:
        return self.files[frame.index].name

    def _frame(self, index: int) -> Frame:
        image = self._fit(read_image(self.files[index]))
        return Frame(index, image, self._names[index], index, (), float(index * self.time_base))


class AnimationSource(Source):
    """A GIF, WebP or PNG with one or more frames, each shown for its own time. Clear pixels are black.

    Raises:
        InputError: no frame of it can be read.
    """

    def __init__(self, file: Path, note: Note = lambda text: None) -> None:
        self.name, self._file, self._note = file.stem, file, note
        self.time_base = Fraction(1, 1000)
        try:
            self._image = Image.open(file)
            check_size(*self._image.size, file, "INPUT")
            self.frames = getattr(self._image, "n_frames", 1)
            first = self._read(0)
        except UNREADABLE as error:
            raise _no_image(file, error) from error
        self.height, self.width = first.shape[:2]
        self.rate = Fraction(1000, self._duration())
        self._times = [0]

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.frames):
            frame = self._frame(index)
            if frame is None:
                self._note(f"{self._file}: it breaks off after {index} of {self.frames} frames")
                return
            yield frame

    def backwards(self, stop: int) -> Iterator[Frame]:
        readable = sum(1 for _, _ in zip(range(stop), self, strict=False))
        for index in range(readable - 1, -1, -1):
            yield self._frame(index)

    def close(self) -> None:
        self._image.close()

    def _frame(self, index: int) -> Frame | None:
        """None where the file breaks off."""
        try:
            image = self._read(index)
        except UNREADABLE:
            return None
        if index + 1 == len(self._times):
            self._times.append(self._times[index] + self._duration())
        pts = self._times[index]
        return Frame(index, image, f"{index:05d}", pts, (), pts / 1000)

    def _read(self, index: int) -> np.ndarray:
        if index < self._image.tell():  # not every plugin of Pillow's can go back
            self._image.close()
            self._image = Image.open(self._file)
        self._image.seek(index)
        image = self._image.convert("RGBA")
        black = Image.new("RGBA", image.size, "black")
        return np.array(Image.alpha_composite(black, image).convert("RGB"))

    def _duration(self) -> int:
        """Of the current frame, in milliseconds."""
        duration = self._image.info.get("duration")
        return min(max(1, round(duration)), 10**6) if duration else DEFAULT_MS


def read_image(file: Path) -> np.ndarray:
    """(H, W, 3) uint8, RGB, turned as its EXIF data says.

    Raises:
        InputError: it is no image, or too large.
    """
    try:
        with Image.open(file) as image:
            check_size(*image.size, file, "INPUT")
            return np.array(_upright(image).convert("RGB"))
    except UNREADABLE as error:
        raise _no_image(file, error) from error


def distinct_names(files: list[Path]) -> list[str]:
    """A name for what belongs to each file: without suffix, with it, or a number, whichever is distinct."""
    for names in ([file.stem for file in files], [file.name for file in files]):
        if max(Counter(names).values()) == 1:
            return names
    return [f"{index:05d}" for index in range(len(files))]


def is_animation(file: Path) -> bool:
    """Whether a file is better read here than by FFmpeg, which knows no animated WebP."""
    return file.suffix.lower() in ANIMATIONS


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except UNREADABLE:  # damaged EXIF data: the pixels are what counts
        return image


def _no_image(file: Path, error: Exception) -> InputError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return InputError(file, found=f"not readable as an image ({reason})", expected="an image", fix="INPUT")
