"""The loop of everything that runs a segmenter over a whole sequence: frames in, label maps and times out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

import numpy as np


class Segmenter(Protocol):
    """`VideoSegmenter`, or anything else that takes frames one by one."""

    def step(self, frame: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """(H, W, 3) uint8, and ids (H, W) of what joins in it -> ids (H, W) uint8."""


class GivenFrame(NamedTuple):
    """A frame of a sequence.

    Attributes:
        name: by which its label map is known.
        image: (H, W, 3) uint8, RGB.
        mask: ids (H, W) uint8 of the objects that join in it; None where none does.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray | None = None


class Step(NamedTuple):
    """What came of a frame: its name, its label map (H, W) uint8, and the seconds that the segmenter took."""

    name: str
    labels: np.ndarray
    seconds: float


def segment_sequence(segmenter: Segmenter, frames: Iterable[GivenFrame]) -> Iterator[Step]:
    """Gives the segmenter one frame after the other; between two of them the caller may look at it."""
    for name, image, mask in frames:
        start = time.perf_counter()
        labels = segmenter.step(image, mask)
        yield Step(name, labels, time.perf_counter() - start)
