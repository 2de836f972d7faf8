"""What the network found: a label map a frame on disk, and a byte a frame about it in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from spvos_cli.annotate.masks import grey_png
from spvos_cli.files import atomic_path
from spvos_cli.video.writers.writer import Facts

LEVELS = 100  # of confidence
EVENT = 128  # is added to the byte of a frame with a shot cut, or with an object that got lost


class Predictions:
    """Label maps by frame.

    Args:
        folder: of the label maps.
        length: how many frames the video has.

    Attributes:
        summary: a byte for each frame: 0 unknown; else from 1 to `LEVELS` the confidence in the object that
            is least certain, 1 where one of them is nowhere to be seen; and `EVENT`.
    """

    def __init__(self, folder: Path, length: int) -> None:
        self.folder = folder
        self._summary_file = folder / "summary"
        self.summary = bytearray(length)
        if self._summary_file.exists():
            known = self._summary_file.read_bytes()[:length]
            self.summary[: len(known)] = known

    def write(self, index: int, labels: np.ndarray, facts: Facts) -> None:
        """Replaces what was known of a frame."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(self._file(index)) as part:
            part.write_bytes(grey_png(labels))
        self.summary[index] = summary_of(facts)

    def png(self, index: int) -> bytes | None:
        """A label map as a grey PNG; None for a frame that nothing is known of."""
        return self._file(index).read_bytes() if self.summary[index] else None

    def read(self, index: int) -> np.ndarray | None:
        """A label map (H, W) uint8; None for a frame that nothing is known of."""
        if not self.summary[index]:
            return None
        with Image.open(self._file(index)) as image:
            return np.array(image)

    def save(self) -> None:
        """Puts the summary on disk: what is written from here on is forgotten by who opens it again."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(self._summary_file) as part:
            part.write_bytes(self.summary)

    def _file(self, index: int) -> Path:
        return self.folder / f"{index:08d}.png"


def summary_of(facts: Facts) -> int:
    """The byte of a frame."""
    seen = [facts.confidence.get(i, 0.0) for i in facts.objects]
    level = 1 + round((LEVELS - 1) * min(seen, default=1.0))
    noticed = any(event == "shot_cut" or event.startswith("lost") for event in facts.events)
    return level + (EVENT if noticed else 0)
