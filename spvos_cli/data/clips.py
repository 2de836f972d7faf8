"""Training clips: a few frames of a video or of a still, drawn from collections of sequences without end.

A clip depends on (seed, index) alone, whichever process makes it: a resumed run sees the clips that it would
have seen.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from spvos_cli.data.folders import Sequence

MAX_OBJECTS = 2
MEMORY_FRAMES = 2  # at the start of a clip: dense under the mixed strategy (Section III-D)
ATTEMPTS = 8  # until an object is seen in a clip's first frame

Pixels = tuple[np.ndarray, np.ndarray]  # frames (T, S, S, 3) uint8 RGB and ids (T, S, S) uint8 in 0..2


class Clip(NamedTuple):
    """Attributes: frames (T, 3, S, S) uint8, ids (T, S, S) uint8 in 0..2, objects: how many there are (1 or
    2)."""

    frames: Tensor
    ids: Tensor
    objects: int


class Draw(NamedTuple):
    """What a clip is made with.

    Attributes:
        collections, shares: what there is to draw from.
        rng: the clip's own.
        progress: of the run, in [0, 1).
    """

    collections: SequenceOf[list[Sequence]]
    shares: np.ndarray
    rng: np.random.Generator
    progress: float

    def sequence(self) -> Sequence:
        """One of all sequences, each collection by its share."""
        sequences = self.collections[self.rng.choice(len(self.collections), p=self.shares)]
        return sequences[self.rng.integers(len(sequences))]


class Recipe(Protocol):
    """How clips are made."""

    def make(self, draw: Draw) -> Pixels: ...


class ClipDataset(Dataset[Clip]):
    """Clips drawn from several collections of sequences.

    Args:
        collections: with the weight of each.
        recipe: how clips are made.
        seed: of the run.
        length: clips in the run.
    """

    def __init__(
        self, collections: SequenceOf[tuple[float, list[Sequence]]], recipe: Recipe, seed: int, length: int
    ) -> None:
        self.collections, self.shares = with_shares(collections)
        self.recipe, self.seed, self.length = recipe, seed, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Clip:
        rng = np.random.default_rng((self.seed, index))
        frames, ids = self.recipe.make(Draw(self.collections, self.shares, rng, index / self.length))
        return Clip(torch.from_numpy(frames).permute(0, 3, 1, 2), torch.from_numpy(ids), int(ids[0].max()))


def with_shares(
    collections: SequenceOf[tuple[float, list[Sequence]]],
) -> tuple[list[list[Sequence]], np.ndarray]:
    """Collections without their weights, and the shares that those make."""
    weights = np.array([weight for weight, _ in collections])
    return [sequences for _, sequences in collections], weights / weights.sum()


def relabelled(ids: np.ndarray, objects: list[int]) -> np.ndarray:
    """The chosen objects as 1, 2, ...; all else as background."""
    table = np.zeros(256, np.uint8)
    table[objects] = np.arange(1, len(objects) + 1)
    return cv2.LUT(ids, table)
