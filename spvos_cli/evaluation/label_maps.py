"""The masks of one video, frame by frame, whichever way they are stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from spvos_cli.errors import InputError
from spvos_cli.files import natural_order
from spvos_cli.video.frames import same_aspect
from spvos_cli.video.masks import MaskReader
from spvos_cli.video.palettes import ids_of_colours

if TYPE_CHECKING:  # masks in folders are read without PyAV
    import av

LOSSLESS = "a label video without loss: FFV1, grey values as ids"


EXACT = {
    "gray",
    "pal8",
    "rgb24",
    "bgr24",
    "rgba",
    "bgra",
    "argb",
    "abgr",
    "rgb0",
    "bgr0",
    "0rgb",
    "0bgr",
    "gbrp",
}


class LabelMaps:
    """Label maps (H, W) uint8 by the name of their frame.

    Attributes:
        name: of the sequence.
        frames: names of the frames that have a mask, in the order of time.
        overlaps: frames read so far in which objects overlap, so that one hides the other.
        unnamed: the frames' names are nothing but their places.
        remarks: what the masks' reader had to say, so far.
    """

    name: str
    frames: tuple[str, ...]
    unnamed = False
    remarks: Sequence[str] = ()

    @property
    def overlaps(self) -> int:
        return 0

    def read(self, frame: str) -> np.ndarray:
        """Ids (H, W) uint8, 0 the background."""
        raise NotImplementedError


class LabelImages(LabelMaps):
    """An image a frame.

    Args:
        files: by the names of the frames, in the order of time.
        coloured: images whose colours are numbered together, where ids are colours of no known order; empty:
            ids are indices, grey values, or DAVIS's colours.
    """

    def __init__(self, name: str, files: Mapping[str, Path], coloured: Sequence[Path] = ()) -> None:
        self.name, self.files, self.frames = name, dict(files), tuple(files)
        self.coloured = tuple(coloured)
        self.remarks: list[str] = []
        self._reader: MaskReader | None = None  # made where it is used, which may be another process

    def read(self, frame: str) -> np.ndarray:
        if self._reader is None:
            self._reader = MaskReader(self.remarks.append, strict=not self.coloured, files=self.coloured)
        return self._reader.read(self.files[frame]).ids


class ObjectImages(LabelMaps):
    """A folder an object, an image a frame: what is not black is the object.

    Args:
        folders: images by object and frame; objects numbered as the folders are.

    Attributes:
        first_id: the id of folder 0, where there is one: 1, else 0.
    """

    def __init__(self, name: str, folders: Mapping[int, Mapping[str, Path]]) -> None:
        self.name, self.folders = name, {i: dict(files) for i, files in folders.items()}
        names = {frame for files in folders.values() for frame in files}
        self.frames = tuple(sorted(names, key=lambda frame: natural_order(Path(frame))))
        self.first_id = int(0 in folders)
        self.remarks: list[str] = []
        self._overlapping: set[str] = set()

    @property
    def overlaps(self) -> int:
        return len(self._overlapping)

    def read(self, frame: str) -> np.ndarray:
        there = {i: files[frame] for i, files in self.folders.items() if frame in files}
        masks = {
            i: (MaskReader(self.remarks.append).read(file).ids > 0).astype(np.uint8)
            for i, file in there.items()
        }
        labels = np.zeros_like(next(iter(masks.values())))
        for i, mask in masks.items():
            mask = rescaled(mask, labels.shape, there[i]).astype(bool)
            if labels[mask].any():
                self._overlapping.add(frame)
            labels[mask] = i + self.first_id
        return labels


class LabelMapVideo(LabelMaps):
    """A video whose pixels are ids. Frames are read fastest in their order.

    Raises:
        InputError: it is no video, or one whose ids did not survive compression.
    """

    unnamed = True

    def __init__(self, path: Path) -> None:
        import av

        self.name, self.path = path.stem, path
        try:
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                count = stream.frames or sum(packet.size > 0 for packet in container.demux(stream))
                pixels = stream.codec_context.pix_fmt
        except (av.FFmpegError, OSError, IndexError) as error:
            raise InputError(
                path, found="not readable as a video", expected=LOSSLESS, fix="--pred and --truth"
            ) from error
        if pixels not in EXACT:
            raise InputError(
                path,
                found=f"pixels that do not hold ids exactly ({pixels})",
                expected=LOSSLESS,
                fix="-o OUT.mkv when segmenting",
            )
        self.frames = tuple(f"{t:05d}" for t in range(count))
        self._decoded: Iterator[tuple[int, np.ndarray]] | None = None
        self._next = 0

    def read(self, frame: str) -> np.ndarray:
        wanted = int(frame)
        if self._decoded is None or wanted < self._next:
            self._decoded = self._decode()
        for index, labels in self._decoded:
            self._next = index + 1
            if index == wanted:
                return labels
        raise InputError(
            self.path, found=f"ends before frame {wanted}", expected=LOSSLESS, fix="a whole file"
        )

    def _decode(self) -> Iterator[tuple[int, np.ndarray]]:
        import av

        with av.open(str(self.path)) as container:
            for index, frame in enumerate(container.decode(video=0)):
                yield index, self._labels(frame)

    def _labels(self, frame: av.VideoFrame) -> np.ndarray:
        if frame.format.name == "gray":
            return np.asarray(frame.to_ndarray())
        if frame.format.name == "pal8":
            return np.asarray(frame.to_ndarray(format="pal8")[0])
        return ids_of_colours(self.path, frame.to_ndarray(format="rgb24"))


class HeldLabels(LabelMaps):
    """Label maps in memory, by the names of their frames."""

    def __init__(self, name: str, labels: Mapping[str, np.ndarray]) -> None:
        self.name, self.labels, self.frames = name, labels, tuple(labels)

    def read(self, frame: str) -> np.ndarray:
        return self.labels[frame]


def rescaled(labels: np.ndarray, shape: tuple[int, ...], what: str | Path) -> np.ndarray:
    """A label map (H, W) at another size (height, width) of the same aspect.

    Raises:
        InputError: the aspect is another.
    """
    height, width = shape
    if not same_aspect(labels.shape, height, width):
        found = f"{labels.shape[1]}x{labels.shape[0]} pixels"
        raise InputError(
            what, found=found, expected=f"the true masks' {width}x{height}", fix="masks of the video's size"
        )
    return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
