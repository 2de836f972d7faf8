"""A contact sheet: the run at a glance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from spvos_cli.files import atomic_path
from spvos_cli.video.paint import paint_overlay
from spvos_cli.video.writers.writer import PartWriter, SegmentedFrame, Setting

COLUMNS, MOST, THUMBNAIL = 5, 20, 320


class ContactSheet(PartWriter):
    """Overlays of 10 to 20 frames, evenly spread over a video whose length nobody knows before its end.

    Every n-th frame is kept in PATH.part; whenever there are too many, n doubles and every other one goes.
    """

    def __init__(self, path: Path, setting: Setting, saved: dict[str, Any] | None = None) -> None:
        super().__init__(path, setting, saved)
        self._seen: int = saved["seen"] if saved else 0
        self._every: int = saved["every"] if saved else 1
        for kept in self._kept():
            if int(kept.stem) >= self._seen:
                kept.unlink()

    def write(self, segmented: SegmentedFrame) -> None:
        if self._seen % self._every == 0:
            thumbnail = Image.fromarray(paint_overlay(segmented.frame.image, segmented.labels, self.look))
            thumbnail.thumbnail((THUMBNAIL, THUMBNAIL))
            with atomic_path(self.folder / f"{self._seen:08d}.png") as part:
                thumbnail.save(part, format="png")
        self._seen += 1
        while len(kept := self._kept()) > MOST:
            self._every *= 2
            for file in kept:
                if int(file.stem) % self._every:
                    file.unlink()

    def checkpoint(self, frame: int) -> dict[str, Any]:
        return {"frame": frame, "seen": self._seen, "every": self._every}

    def close(self) -> None:
        thumbnails = [np.array(Image.open(file)) for file in self._kept()]
        if not thumbnails:
            return
        height, width = (max(t.shape[axis] for t in thumbnails) for axis in (0, 1))
        columns = min(COLUMNS, len(thumbnails))
        sheet = np.zeros((-(-len(thumbnails) // columns) * height, columns * width, 3), np.uint8)
        for number, thumbnail in enumerate(thumbnails):
            top, left = number // columns * height, number % columns * width
            sheet[top : top + thumbnail.shape[0], left : left + thumbnail.shape[1]] = thumbnail
        with atomic_path(self.path) as part:
            Image.fromarray(sheet).save(part, format="png")

    def _kept(self) -> list[Path]:
        return sorted(self.folder.glob("*.png"))
