"""Region: the window about the objects, which alone goes through the network where nothing else is looked
for."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spvos_cli.model.matching import grid_positions

CELL = 16  # pixels: windows lie on the grid of stride 16
MARGIN = 0.2  # of the objects' longer side: what a new window has around them
CLOSE = 0.08  # of that side: objects that come closer to the window's edge move it
LEAST = 20  # cells that a window has at least in height and width
STEP = 2  # cells: windows are of few sizes, as the first frame of a size takes longer
LARGER = 1.6  # times the window that would do: then it is left for that
WHOLE = 0.85  # share of the frame from which on a window does not pay


class Window(NamedTuple):
    """A part of a frame, in pixels of the network's size, padded; all are multiples of 16."""

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def whole(cls, height: int, width: int) -> Window:
        """All of a padded frame."""
        return cls(0, 0, height, width)

    @property
    def area(self) -> int:
        return self.height * self.width


class Region(NamedTuple):
    """Where the network looks, frame by frame; without state of its own.

    Attributes:
        visible: (K, h, w) bool, cells of stride 16 in which an object was seen.
        window: in which they lie.
        height, width: of the padded frame, in pixels.
    """

    visible: NDArray[np.bool_]
    window: Window
    height: int
    width: int

    @classmethod
    def of(cls, masks: Tensor, window: Window, height: int, width: int) -> Region:
        """masks: (K, H, W), the objects' probabilities in the window."""
        # rows first, which is ten times as fast as a pooling of squares
        rows = masks.unflatten(1, (-1, CELL)).amax(dim=2)
        visible = rows.unflatten(2, (-1, CELL)).amax(dim=3) > 0.5
        return cls(visible.cpu().numpy(), window, height, width)

    def next_window(self) -> Window:
        """Where to look in the next frame: at all of it where an object is not to be seen now."""
        whole = Window.whole(self.height, self.width)
        if not len(self.visible) or not self._all_seen():
            return whole
        rows, columns = self._extent()
        side = max(rows[1] - rows[0], columns[1] - columns[0])
        limits = self.height // CELL, self.width // CELL
        margin = math.ceil(MARGIN * side)
        (top, bottom), (left, right) = (
            _widened(*extent, margin, limit) for extent, limit in zip((rows, columns), limits, strict=True)
        )
        wanted = Window(*(CELL * n for n in (top, left, bottom - top, right - left)))
        if wanted.area > WHOLE * whole.area:
            return whole
        kept = (
            self._holds(rows, columns, math.ceil(CLOSE * side)) and self.window.area <= LARGER * wanted.area
        )
        return self.window if kept else wanted

    def is_enough(self) -> bool:
        """Whether looking through the window was: no object is gone, or reaches its edge inside the frame."""
        if self.window == Window.whole(self.height, self.width):
            return True
        return self._all_seen() and self._holds(*self._extent(), 1)

    def _all_seen(self) -> bool:
        return bool(self.visible.reshape(len(self.visible), -1).any(axis=1).all())

    def _extent(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """First and one past the last row of cells with an object, and columns, in the frame."""
        any_object: NDArray[np.bool_] = np.logical_or.reduce(self.visible)
        rows, columns = (np.flatnonzero(any_object.any(axis=axis)) for axis in (1, 0))
        top, left = self.window.top // CELL, self.window.left // CELL
        return (top + int(rows[0]), top + int(rows[-1]) + 1), (
            left + int(columns[0]),
            left + int(columns[-1]) + 1,
        )

    def _holds(self, rows: tuple[int, int], columns: tuple[int, int], margin: int) -> bool:
        """Whether the window goes that many cells beyond, or to the frame's edge."""
        top, left, height, width = (n // CELL for n in self.window)
        ends = (top, top + height, self.height // CELL), (left, left + width, self.width // CELL)
        return all(
            (first - start >= margin or start == 0) and (end - last >= margin or end == limit)
            for (start, end, limit), (first, last) in zip(ends, (rows, columns), strict=True)
        )


def _widened(first: int, last: int, margin: int, limit: int) -> tuple[int, int]:
    """first and last with a margin at least, moved and cut to lie in 0 to limit; `LEAST` apart, or by so many
    steps more."""
    length = last - first + 2 * margin
    length = min(limit, LEAST + STEP * max(0, math.ceil((length - LEAST) / STEP)))
    start = (first + last - length) // 2
    start = min(max(start, 0), limit - length)
    return start, start + length


def cells_of(window: Window, device: torch.device) -> Tensor:
    """Rows and columns, on the frame's grid, of a window's pixels at stride 16: (pixels, 2)."""
    start = torch.tensor([window.top // CELL, window.left // CELL], dtype=torch.float32, device=device)
    return grid_positions(window.height // CELL, window.width // CELL, device) + start
