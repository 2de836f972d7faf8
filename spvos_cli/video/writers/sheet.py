"""A contact sheet: the run at a glance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from spvos_cli.files import atomic_path
from spvos_cli.video.frames import Frame
from spvos_cli.video.paint import paint_overlay
from spvos_cli.video.writers.writer import PartWriter, SegmentedFrame, Setting

COLUMNS, MOST, THUMBNAIL = (5, 4, 3), 20, 320


class ContactSheet(PartWriter):
    """Overlays of 10 to 20 frames with their numbers and times, evenly spread over a video whose length
    nobody knows before its end.

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
            marked = _marked(np.array(thumbnail), segmented.frame)
            with atomic_path(self.folder / f"{self._seen:08d}.png") as part:
                Image.fromarray(marked).save(part, format="png")
        self._seen += 1
        while len(kept := self._kept()) > MOST:
            self._every *= 2
            for file in kept:
                if int(file.stem) % self._every:
                    file.unlink()

    def checkpoint(self, frame: int) -> dict[str, Any]:
        return {"frame": frame, "seen": self._seen, "every": self._every}

    def close(self) -> None:
        kept = self._kept()
        if not kept:
            return
        rows, columns = grid_of(len(kept))
        chosen = np.linspace(0, len(kept) - 1, rows * columns).round().astype(int)
        thumbnails = [np.array(Image.open(kept[i])) for i in chosen]
        height, width = (max(t.shape[axis] for t in thumbnails) for axis in (0, 1))
        sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
        for number, thumbnail in enumerate(thumbnails):
            top, left = number // columns * height, number % columns * width
            sheet[top : top + thumbnail.shape[0], left : left + thumbnail.shape[1]] = thumbnail
        with atomic_path(self.path) as part:
            Image.fromarray(sheet).save(part, format="png")

    def _kept(self) -> list[Path]:
        return sorted(self.folder.glob("*.png"))


def grid_of(count: int) -> tuple[int, int]:
    """Rows and columns without holes, of as many of the thumbnails as possible."""
    if count <= COLUMNS[0]:
        return 1, count
    return max(((count // columns, columns) for columns in COLUMNS), key=lambda grid: grid[0] * grid[1])


def _marked(thumbnail: np.ndarray, frame: Frame) -> np.ndarray:
    """With the frame's number and time in its corner."""
    minutes, seconds = divmod(frame.seconds, 60)
    text, place = f"{frame.number}  {int(minutes)}:{seconds:05.2f}", (4, thumbnail.shape[0] - 6)
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(thumbnail, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, thickness, cv2.LINE_AA)
    return thumbnail
