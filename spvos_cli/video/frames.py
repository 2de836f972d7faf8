"""What frames are, whatever they come from, and how large they may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from spvos_cli.errors import InputError
from spvos_cli.video.colours import Colours
from spvos_cli.video.orientation import UPRIGHT, Orientation

if TYPE_CHECKING:  # av is imported where videos are read and written
    from av.audio.stream import AudioStream
    from av.container.core import Chapter
    from av.packet import Packet

STILLS_RATE = Fraction(24)  # frames a second of an image folder
MAX_PIXELS = 2**26  # of a frame or a mask: 8K with room to spare; more is a damaged file or a bomb
A_VIDEO = "a video file, a folder of images, or - for standard input"

Note = Callable[[str], None]  # takes a remark for the user, one line


def no_note(text: str) -> None:
    """Where remarks go that nobody needs."""


class Frame(NamedTuple):
    """One frame of a source.

    Attributes:
        index: from 0.
        image: (H, W, 3) uint8, RGB, upright.
        name: file name without suffix for what belongs to this frame.
        pts: when it is shown, in units of the source's time base.
        audio: encoded packets that came before it.
        seconds: since the source's first frame.
        called: the number that it has in its file's name, where frames are files.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs
    image: np.ndarray
    name: str
    pts: int
    audio: tuple[Packet[AudioStream], ...] = ()
    seconds: float = 0.0
    called: int | None = None

    @property
    def number(self) -> int:
        """As people call it, for messages."""
        return self.index if self.called is None else self.called


class Source:
    """Frames in order, each once, with what is known before they are decoded.

    Attributes:
        name: of the input, without suffix; outputs are named after it.
        frames: how many to expect, None where nobody says.
        width, height: of the first frame, upright.
        rate: frames a second, the average where it varies.
        time_base: seconds in a unit of `Frame.pts`.
        pixel_aspect: width of a pixel over its height, upright.
        audio: the streams that `Frame.audio` belongs to.
        rest: audio packets after the last frame, once all frames are read.
        begins: seconds from the start of its earliest stream to its first frame.
        metadata: of the container: title, creation_time ...; not where it was recorded.
        chapters: by the clock of the container, in PyAV's form.
        timecode: SMPTE time code of its first frame.
        left_out: what is in it that no video output gets, for people.
        orientation: how its pictures were turned to stand upright.
        timed: whether its frames have times of their own.
        colours: what the RGB of its frames means, and the YUV that it came from.
    """

    name: str
    frames: int | None
    width: int
    height: int
    rate: Fraction
    time_base: Fraction
    pixel_aspect: Fraction = Fraction(1)
    audio: tuple[AudioStream, ...] = ()
    rest: tuple[Packet[AudioStream], ...] = ()
    begins: Fraction = Fraction(0)
    metadata: Mapping[str, str] = MappingProxyType({})
    chapters: tuple[Chapter, ...] = ()
    timecode: str | None = None
    left_out: tuple[str, ...] = ()
    orientation: Orientation = UPRIGHT
    timed: bool = False

    @property
    def colours(self) -> Colours:
        """As players show what says nothing, unless the source knows better."""
        return Colours.of_size(self.height)

    def __iter__(self) -> Iterator[Frame]:
        raise NotImplementedError

    def index_of(self, name: str) -> int | None:
        """The frame that is a file of this name (without suffix), where frames are files."""
        return None

    def index_of_number(self, number: int) -> int | None:
        """The frame that people call by a number: its place from 0, or the number in its file's name."""
        return number

    def first_from(self, number: int) -> int:
        """The first frame whose number is at least this one."""
        return number

    def number(self, index: int) -> int:
        """The inverse of `index_of_number`."""
        return index

    def count(self) -> int | None:
        """How many frames there are, counted where `frames` is but a promise; None where nobody can say."""
        return self.frames

    def number_of(self, frame: Frame) -> int:
        """The number that a frame has in its source's names, where these are numbered; else its index."""
        return frame.index

    def file_name(self, frame: Frame) -> str:
        """The name, with its suffix, of the file that a frame is, or that the outputs call it by."""
        return f"{frame.name}.png"

    def set_rate(self, rate: Fraction) -> None:
        """Frames a second, for what does not know when its frames are shown; before the first is read.

        Raises:
            InputError: its frames have times of their own.
        """
        found, expected = "frames with times of their own", "a folder of images, or a raw stream"
        raise InputError("--fps", found=found, expected=expected, fix="no --fps")

    def backwards(self, stop: int) -> Iterator[Frame]:
        """The frames before number `stop`, the last of them first; instead of iterating.

        Raises:
            InputError: frames come from a stream that cannot be read again.
        """
        raise NotImplementedError

    def frames_from(self, first: int) -> Iterator[Frame]:
        """The frames from number `first` on, without sound, as often as they are wanted; none past the end.

        Raises:
            InputError: frames come from a stream that cannot be read again.
        """
        raise NotImplementedError

    def name_of(self, index: int) -> str:
        """What `Frame.name` is of a frame."""
        return f"{index:05d}"

    def close(self) -> None:
        """Closes files."""


class SameSize:
    """Scales images to the size of the first one, and says so once."""

    def __init__(self, label: str, note: Note) -> None:
        self.label, self.note = label, note
        self._size: tuple[int, int] | None = None
        self._said = False

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> the same in the first one's height and width."""
        size = image.shape[1::-1]
        self._size = self._size or size
        if size == self._size:
            return image
        if not self._said:
            now, first = ("{}x{}".format(*s) for s in (size, self._size))
            self.note(f"{self.label}: some frames are {now}, the first is {first}: scaled to that")
        self._said = True
        return cv2.resize(image, self._size, interpolation=cv2.INTER_LINEAR)


def same_aspect(shape: tuple[int, ...], height: int, width: int) -> bool:
    """Whether an array (H, W) can be rescaled to a size without a change of aspect, but for rounding."""
    scale = height / shape[0]
    return abs(shape[1] * scale - width) <= max(1.0, scale)


def check_size(width: int, height: int, what: str | Path, option: str) -> None:
    """Before an image is decoded.

    Raises:
        InputError: it has more than `MAX_PIXELS` pixels, or none.
    """
    if not 0 < width * height <= MAX_PIXELS:
        expected = f"at most {MAX_PIXELS / 1e6:.0f} million pixels"
        raise InputError(
            what, found=f"frames of {width}x{height}", expected=expected, fix=f"{option} of a smaller size"
        )
