"""The masks of annotated frames: a folder of indexed PNGs, just as `spvos segment --mask FOLDER` takes it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.video.annotations import Annotations
from spvos_cli.video.frames import Frame, Note, Source, no_note
from spvos_cli.video.label_files import save_label_map
from spvos_cli.video.masks import MaskReader

MOST_ID = 254  # 255 beside small ids means undecided to whoever reads a mask


class MaskFolder:
    """Reads and writes the masks of a video, each at once on disk and whole at every moment.

    Args:
        folder: of the masks; it need not exist yet.
        source: the video.
        note: takes remarks about masks that are there.

    Attributes:
        digests: frame -> what tells its mask from others; in the order of the frames.

    Raises:
        InputError: a mask that is there is no indexed PNG of the frames' size, or there are two of a frame.
    """

    def __init__(self, folder: Path, source: Source, note: Note = no_note) -> None:
        self.folder, self.source = folder, source
        self._files: dict[int, Path] = {}
        self._digests: dict[int, str] = {}
        self._ids: dict[int, set[int]] = {}
        if folder.exists() and not folder.is_dir():
            raise InputError(folder, found="a file", expected="a folder, or none yet", fix="--masks FOLDER")
        if any(folder.glob("*.png")):
            self._adopt(note)

    @property
    def digests(self) -> dict[int, str]:
        return dict(sorted(self._digests.items()))

    @property
    def objects(self) -> set[int]:
        """The ids in all masks."""
        return self.objects_in(self._ids)

    def objects_in(self, frames: Iterable[int]) -> set[int]:
        """The ids in the masks of some frames."""
        return set[int]().union(*(self._ids[frame] for frame in frames))

    def read(self, index: int) -> np.ndarray | None:
        """Ids (H, W) uint8 of an annotated frame, as segmenting reads them; None for another frame."""
        return MaskReader().read(self._files[index]).ids if index in self._digests else None

    def write(self, index: int, ids: np.ndarray | None) -> None:
        """Annotates a frame; with None it is no longer annotated."""
        if ids is None:
            self._ids.pop(index, None)
            if self._digests.pop(index, None):
                self._files.pop(index).unlink(missing_ok=True)
            return
        path = self._files.setdefault(index, self.folder / f"{self.source.name_of(index)}.png")
        self.folder.mkdir(parents=True, exist_ok=True)
        save_label_map(path, ids)
        self._know(index, MaskReader().read(path).ids)

    def _adopt(self, note: Note) -> None:
        """Takes the masks that are there already."""
        annotations = Annotations([str(self.folder)], (), self.source, note)
        blank = np.broadcast_to(np.uint8(0), (self.source.height, self.source.width, 3))
        for given in annotations.given:
            index, path = given.moment.frame, given.file
            if index is None or path is None or path.suffix.lower() != ".png" or index in self._files:
                expected = "indexed PNGs, one a frame"
                raise InputError(given.name, found="another mask", expected=expected, fix="--masks FOLDER")
            self._files[index] = path
        for index, path in sorted(self._files.items()):
            ids = annotations.at(Frame(index, blank, "", index))
            if ids is None or not np.array_equal(MaskReader().read(path).ids, ids):
                found = "a mask whose ids depend on the other masks or on its size"
                expected = f"an indexed PNG of {self.source.width}x{self.source.height}"
                raise InputError(path, found=found, expected=expected, fix="--masks FOLDER")
            self._know(index, ids)

    def _know(self, index: int, ids: np.ndarray) -> None:
        self._digests[index] = digest_of(ids)
        self._ids[index] = set(np.flatnonzero(np.bincount(ids.ravel())).tolist()) - {0}


def digest_of(ids: np.ndarray) -> str:
    """Tells a label map from others."""
    return hashlib.sha256(np.ascontiguousarray(ids).tobytes()).hexdigest()[:32]


def grey_png(ids: np.ndarray) -> bytes:
    """A label map (H, W) uint8 as a grey PNG whose values are the ids."""
    buffer = io.BytesIO()
    Image.fromarray(ids).save(buffer, format="png", compress_level=1)
    return buffer.getvalue()
