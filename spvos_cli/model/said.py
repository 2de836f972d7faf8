"""What was said about an object, as the maps that the network of `model.clicks` sees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np

RADIUS = 5  # of a click, in pixels of the network's picture


class PlacedClick(NamedTuple):
    """In pixels of the network's picture."""

    x: float
    y: float
    positive: bool


class Extent(NamedTuple):
    """A box in pixels of the network's picture: its left, upper, right and lower edge."""

    left: float
    top: float
    right: float
    bottom: float


def said_maps(previous: np.ndarray, box: Extent | None, clicks: Iterable[PlacedClick]) -> np.ndarray:
    """(5, H, W) float32 in [0, 1]: the mask so far, positive and negative clicks as discs, the inside of the
    box, and how deep in the box a pixel lies, as a share of the way from its edge to its middle.

    Args:
        previous: (H, W) bool or 0 and 1.
    """
    height, width = previous.shape
    maps = np.zeros((5, height, width), np.float32)
    maps[0] = previous
    for x, y, positive in clicks:
        cv2.circle(maps[1 if positive else 2], (round(x), round(y)), RADIUS, 1.0, -1)
    if box is not None:
        across = _depth(width, box.left, box.right)
        down = _depth(height, box.top, box.bottom)
        maps[4] = np.minimum(down[:, None], across)
        maps[3] = maps[4] > 0
    return maps


def _depth(length: int, start: float, end: float) -> np.ndarray:
    """Of pixels along a side, 0 outside of the box and 1 in its middle."""
    centre = np.arange(length, dtype=np.float32) + 0.5
    half = max((end - start) / 2, 0.5)
    return np.clip(np.minimum(centre - start, end - centre) / half, 0, 1)
