"""Region: the windows about the objects, which alone go through the network where nothing else is looked
for."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterator, Sequence
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
VISIBLE = 0.5  # probability from which on an object is to be seen
WHOLE = 0.85  # share of the frame from which on a window does not pay


class Box(NamedTuple):
    """Where objects are: the first row of cells, one past the last, and columns likewise."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def side(self) -> int:
        """The longer one."""
        return max(self.bottom - self.top, self.right - self.left)


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

    def holds(self, box: Box, margin: int, height: int, width: int) -> bool:
        """Whether it goes that many cells beyond, or to the edge of the padded frame."""
        top, left, rows, columns = (n // CELL for n in self)
        ends = (top, top + rows, height // CELL), (left, left + columns, width // CELL)
        return all(
            (first - start >= margin or start == 0) and (end - last >= margin or end == limit)
            for (start, end, limit), (first, last) in zip(ends, (box[:2], box[2:]), strict=True)
        )


Windows = tuple[Window, ...]  # of one height, side by side in one picture for the network


def area_of(windows: Sequence[Window]) -> int:
    """Of the picture, in pixels: what the network takes for it grows with that alone."""
    return sum(window.area for window in windows)


class Region(NamedTuple):
    """Where the network looks, frame by frame; without state of its own.

    Attributes:
        boxes: of each object that was seen; None of one that was not.
        windows: in which they lie.
        height, width: of the padded frame, in pixels.
    """

    boxes: list[Box | None]
    windows: Windows
    height: int
    width: int

    @classmethod
    def of(cls, masks: Tensor, windows: Windows, height: int, width: int) -> Region:
        """masks: (K, H, W), the objects' probabilities in the windows."""
        visible = visible_cells(masks).cpu().numpy()
        whole = np.zeros((len(visible), height // CELL, width // CELL), bool)
        for rows, columns, shown in places_of(windows):
            whole[:, rows, columns] |= visible[:, :, shown]
        return cls([_box_of(each) for each in whole], windows, height, width)

    def next_windows(self, most: int) -> Windows:
        """Where to look in the next frame: at all of it where an object is not to be seen now. At most so
        many windows."""
        whole = Window.whole(self.height, self.width)
        seen = [box for box in self.boxes if box is not None]
        if not seen or len(seen) < len(self.boxes):
            return (whole,)
        boxes = self._clusters(seen, most)
        wanted = self._windows([[box] for box in boxes])
        if area_of(wanted) > WHOLE * whole.area:
            return (whole,)
        kept = len(self.windows) <= most and area_of(self.windows) <= LARGER * area_of(wanted)
        return self.windows if kept and all(self._is_held(box, CLOSE) for box in boxes) else wanted

    def is_enough(self) -> bool:
        """Whether looking through the windows was: no object is gone, or reaches its window's edge inside the
        frame."""
        if self.windows == (Window.whole(self.height, self.width),):
            return True
        return all(box is not None and self._is_held(box, 0) for box in self.boxes)

    def _is_held(self, box: Box, margin: float) -> bool:
        """Whether a window goes that share of the box's side beyond it, and a cell at least."""
        cells = max(1, math.ceil(margin * box.side))
        return any(window.holds(box, cells, self.height, self.width) for window in self.windows)

    def _clusters(self, boxes: list[Box], most: int) -> list[Box]:
        """Of objects that share a window. All do, and are parted where that makes the picture smallest, as
        long as it becomes smaller and no windows overlap."""
        groups = [boxes]
        while len(groups) < most:
            area = area_of(self._windows(groups))
            better = [(self._windows(each), each) for each in _partings(groups)]
            sizes = {area_of(windows): each for windows, each in better if not _any_overlap(windows)}
            if min(sizes, default=area) >= area:
                break
            groups = sizes[min(sizes)]
        return [_around(group) for group in groups]

    def _windows(self, groups: Sequence[Sequence[Box]]) -> Windows:
        """About each group, from left to right."""
        rows, columns = self.height // CELL, self.width // CELL
        places = []
        for box in map(_around, groups):
            margin = math.ceil(MARGIN * box.side)
            down = _widened(box.top, box.bottom, margin, rows)
            places.append((*down, *_widened(box.left, box.right, margin, columns)))
        height = max(bottom - top for top, bottom, _, _ in places)
        found = []
        for top, bottom, left, right in places:
            top = min(max(0, (top + bottom - height) // 2), rows - height)
            found.append(Window(*(CELL * n for n in (top, left, height, right - left))))
        return tuple(sorted(found, key=lambda window: window.left))


def places_of(windows: Sequence[Window]) -> Iterator[tuple[slice, slice, slice]]:
    """Of each window its rows and columns on the frame's grid of cells, and its columns in the picture."""
    start = 0
    for window in windows:
        top, left, height, width = (n // CELL for n in window)
        yield slice(top, top + height), slice(left, left + width), slice(start, start + width)
        start += width


def visible_cells(masks: Tensor) -> Tensor:
    """Where objects are to be seen on the grid of stride 16: (K, H, W), probabilities -> (K, h, w) bool."""
    rows = masks.unflatten(1, (-1, CELL)).amax(dim=2)  # first, which is ten times as fast as squares
    return rows.unflatten(2, (-1, CELL)).amax(dim=3) > VISIBLE


def visible_objects(masks: Tensor) -> Tensor:
    """Which objects are to be seen: (K, H, W), probabilities -> (K,) bool."""
    return masks.flatten(1).amax(dim=1) > VISIBLE


def all_visible(masks: Tensor) -> bool:
    """Whether every object is to be seen: (K, H, W), probabilities."""
    return bool(visible_objects(masks).all())


def _partings(groups: list[list[Box]]) -> Iterator[list[list[Box]]]:
    """One group in two, by a line across the frame or down it: all ways."""
    for number, group in enumerate(groups):
        rest = groups[:number] + groups[number + 1 :]
        for start in ("top", "left"):
            ordered = sorted(group, key=operator.attrgetter(start))
            for cut in range(1, len(ordered)):
                yield [*rest, ordered[:cut], ordered[cut:]]


def _around(boxes: Sequence[Box]) -> Box:
    """The smallest box with all in it."""
    tops, bottoms, lefts, rights = zip(*boxes, strict=True)
    return Box(min(tops), max(bottoms), min(lefts), max(rights))


def _any_overlap(windows: Windows) -> bool:
    return any(
        min(a.top + a.height, b.top + b.height) > max(a.top, b.top)
        and min(a.left + a.width, b.left + b.width) > max(a.left, b.left)
        for a, b in itertools.combinations(windows, 2)
    )


def _box_of(visible: NDArray[np.bool_]) -> Box | None:
    rows, columns = (np.flatnonzero(visible.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    return Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def _widened(first: int, last: int, margin: int, limit: int) -> tuple[int, int]:
    """first and last with a margin at least, moved and cut to lie in 0 to limit; `LEAST` apart, or by so many
    steps more."""
    length = last - first + 2 * margin
    length = min(limit, LEAST + STEP * max(0, math.ceil((length - LEAST) / STEP)))
    start = (first + last - length) // 2
    start = min(max(start, 0), limit - length)
    return start, start + length


def cells_of(windows: Sequence[Window], device: torch.device) -> Tensor:
    """Rows and columns, on the frame's grid, of the picture's pixels at stride 16: (pixels, 2)."""
    parts = []
    for top, left, height, width in windows:
        start = torch.tensor([top // CELL, left // CELL], dtype=torch.float32, device=device)
        cells = grid_positions(height // CELL, width // CELL, device) + start
        parts.append(cells.unflatten(0, (height // CELL, width // CELL)))
    return torch.cat(parts, dim=1).flatten(0, 1)
