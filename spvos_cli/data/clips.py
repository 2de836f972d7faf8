"""Training clips: a few frames of a video or of a still, drawn from collections of sequences without end.

A clip depends on (seed, index) alone, whichever process makes it: a resumed run sees the clips that it would
have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from spvos_cli.data.folders import VideoSequence, WeightedDataset

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


class ClipKey(NamedTuple):
    """What a clip or segment of a run depends on, beside the run's seed.

    Attributes:
        number: of the clip in its run, from 0 on.
        progress: of the run, in [0, 1).
    """

    number: int
    progress: float


class Draw(NamedTuple):
    """What a clip is made with.

    Attributes:
        datasets, shares: what there is to draw from, and how likely each is drawn from.
        rng: the clip's own.
        progress: of the run, in [0, 1).
    """

    datasets: Sequence[WeightedDataset]
    shares: np.ndarray
    rng: np.random.Generator
    progress: float

    def sequence(self) -> VideoSequence:
        """One of all sequences, each dataset by its share."""
        sequences = self.datasets[self.rng.choice(len(self.datasets), p=self.shares)].sequences
        return sequences[self.rng.integers(len(sequences))]


class Recipe(Protocol):
    """How clips are made."""

    def make(self, draw: Draw) -> Pixels: ...


class Stage(NamedTuple):
    """How clips are made up to some point of the run.

    Attributes:
        end: that point, in (0, 1].
        recipe: how clips are made.
        shares: the probability of each dataset.
    """

    end: float
    recipe: Recipe
    shares: np.ndarray


class ClipDataset(Dataset[Clip]):
    """Clips drawn from several datasets; items are looked up by `ClipKey`.

    Args:
        datasets: what there is to draw from; the weights are those of the stages.
        stages: in the order of their ends, the last of which is 1.
        seed: of the run.
    """

    def __init__(self, datasets: Sequence[WeightedDataset], stages: Sequence[Stage], seed: int) -> None:
        self.datasets, self.stages, self.seed = datasets, stages, seed

    def __getitem__(self, key: ClipKey) -> Clip:
        rng = np.random.default_rng((self.seed, key.number))
        stage = next(stage for stage in self.stages if key.progress < stage.end)
        frames, ids = stage.recipe.make(Draw(self.datasets, stage.shares, rng, key.progress))
        return Clip(torch.from_numpy(frames).permute(0, 3, 1, 2), torch.from_numpy(ids), int(ids[0].max()))


def normalized(weights: Sequence[float]) -> np.ndarray:
    """Weights as shares, which sum to 1."""
    shares: np.ndarray = np.array(weights, float) / np.sum(weights)
    return shares


def relabelled(ids: np.ndarray, objects: list[int]) -> np.ndarray:
    """The chosen objects as 1, 2, ...; all else as background."""
    table = np.zeros(256, np.uint8)
    table[objects] = np.arange(1, len(objects) + 1)
    return cv2.LUT(ids, table)
