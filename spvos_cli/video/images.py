"""Frames of image files, and of the animations that Pillow reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.video.frames import STILLS_RATE, Frame, Note, SameSize, Source, no_note
from spvos_cli.video.image_files import (
    UNREADABLE,
    no_image,
    on_black_image,
    open_image,
    orientation_of_image,
    pages_of,
    read_samples,
)
from spvos_cli.video.numbers import numbers_of
from spvos_cli.video.samples import SampleRange, check_range_is_of_use, is_deep, measured_range

ANIMATIONS = {".gif", ".webp", ".png", ".apng", ".avif", ".avifs"}
DEFAULT_MS = 100  # of an animation's frame that has no duration, as browsers show it
MEASURED = 8  # images that a range of samples is measured on


class Page(NamedTuple):
    """An image in a file."""

    file: Path
    number: int = 0


class ImageSource(Source):
    """Image files, one a frame, and the pages of stacks, all scaled to the size of the first.

    Samples of more than 8 bits have one range for all of them, given or measured on some; it is said.

    Args:
        files: in their order.
        name: of the whole.
        note: takes remarks.
        sample_range: as --range gives it; None to measure it.

    Raises:
        InputError: the first one is no image.
    """

    def __init__(
        self, files: list[Path], name: str, note: Note = no_note, sample_range: SampleRange | None = None
    ) -> None:
        self.files, self.name = files, name
        self._pages = [Page(file, number) for file in files for number in pages_of(file)]
        self._fit = SameSize(name, note)
        self.frames, self.rate, self.time_base = len(self._pages), STILLS_RATE, 1 / STILLS_RATE
        self._names = page_names(files, self._pages)
        self._places = {name: index for index, name in enumerate(self._names)}
        self._numbers = numbers_of(self._names) if len(self._pages) == len(files) else None
        self._by_number = {number: index for index, number in enumerate(self._numbers or [])}
        first = read_samples(*self._pages[0])
        check_range_is_of_use(sample_range, deep=is_deep(first))
        self._range = sample_range
        if is_deep(first) and sample_range is None:
            every = max(1, len(self._pages) // MEASURED)
            some = [first, *(self._samples(index) for index in range(every, len(self._pages), every))]
            self._range = measured_range(image for image in some if is_deep(image))
            bits = "float" if first.dtype.kind == "f" else "16-bit"
            note(f"{name}: {bits} samples, shown from {self._range} on (--range LOW,HIGH is another choice)")
        self.height, self.width = self._fit(self._rgb(first)).shape[:2]
        self.orientation = orientation_of_image(files[0])

    def __iter__(self) -> Iterator[Frame]:
        return map(self._frame, range(len(self._pages)))

    def backwards(self, stop: int) -> Iterator[Frame]:
        return map(self._frame, range(min(stop, len(self._pages)) - 1, -1, -1))

    def frames_from(self, first: int) -> Iterator[Frame]:
        return map(self._frame, range(first, len(self._pages)))

    def name_of(self, index: int) -> str:
        return self._names[index]

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
        return next((i for i, n in enumerate(self._numbers) if n >= number), len(self._pages))

    def number(self, index: int) -> int:
        return index if self._numbers is None else self._numbers[index]

    def number_of(self, frame: Frame) -> int:
        return self.number(frame.index)

    def set_rate(self, rate: Fraction) -> None:
        self.rate, self.time_base = rate, 1 / rate

    def file_name(self, frame: Frame) -> str:
        one_a_file = len(self._pages) == len(self.files)
        return self._pages[frame.index].file.name if one_a_file else super().file_name(frame)

    def _frame(self, index: int) -> Frame:
        image = self._fit(self._rgb(self._samples(index)))
        seconds = float(index * self.time_base)
        return Frame(index, image, self._names[index], index, (), seconds, self.number(index))

    def _samples(self, index: int) -> np.ndarray:
        return read_samples(*self._pages[index])

    def _rgb(self, samples: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8."""
        if is_deep(samples):
            whole = SampleRange(0, 1 if samples.dtype.kind == "f" else 2**16 - 1)
            samples = (self._range or whole).to_bytes(samples)
        return np.dstack([samples] * 3) if samples.ndim == 2 else samples


class AnimationSource(Source):
    """A GIF, WebP or PNG with one or more frames, each shown for its own time. Clear pixels are black.

    Raises:
        InputError: no frame of it can be read.
    """

    frames: int

    def __init__(self, file: Path, note: Note = no_note) -> None:
        self.name, self._file, self._note, self.timed = file.stem, file, note, True
        self.time_base = Fraction(1, 1000)
        try:
            self._image = open_image(file)
            self.frames = getattr(self._image, "n_frames", 1)
            first = self._read(0)
        except UNREADABLE as error:
            raise no_image(file, error) from error
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
            if (frame := self._frame(index)) is not None:
                yield frame

    def frames_from(self, first: int) -> Iterator[Frame]:
        return islice(self, first, None)

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
        return on_black_image(self._image)

    def _duration(self) -> int:
        """Of the current frame, in milliseconds."""
        duration = self._image.info.get("duration")
        return min(max(1, round(duration)), 10**6) if duration else DEFAULT_MS


def distinct_names(files: list[Path]) -> list[str]:
    """A name for what belongs to each file: without suffix, with it, or a number, whichever is distinct."""
    for names in ([file.stem for file in files], [file.name for file in files]):
        if max(Counter(names).values()) == 1:
            return names
    return [f"{index:05d}" for index in range(len(files))]


def page_names(files: list[Path], pages: list[Page]) -> list[str]:
    """A name for what belongs to each page: its file's, with the page's number where a file has several; the
    number alone where there is but one file."""
    if len(pages) == len(files):
        return distinct_names(files)
    if len(files) == 1:
        return [f"{page.number:05d}" for page in pages]
    names = dict(zip(files, distinct_names(files), strict=True))
    several = {page.file for page in pages if page.number}
    return [names[p.file] + (f"_{p.number:04d}" if p.file in several else "") for p in pages]


def is_animation(file: Path) -> bool:
    """Whether a file has several images, each with its time; FFmpeg knows no animated WebP."""
    if file.suffix.lower() not in ANIMATIONS:
        return False
    try:
        with open_image(file) as image:
            return bool(getattr(image, "is_animated", False))
    except (*UNREADABLE, InputError):
        return False
