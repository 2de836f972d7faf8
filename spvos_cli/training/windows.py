"""Clips of recorded streams: a crop of a few frames, one object in each."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from spvos_cli.errors import InputError
from spvos_cli.training.recording import INPUTS, STRIDES, Recording

CELL = 16  # pixels between the positions that a crop can have
DOUBLE, BACKWARDS, ANYWHERE = 0.25, 0.3, 0.25  # shares: every other frame; time reversed; not at the object


class Window(NamedTuple):
    """Attributes: readout, value, f8, f4: (T, C, ...) float32, masks: (T, S, S) float32 in {0, 1}."""

    readout: Tensor
    value: Tensor
    f8: Tensor
    f4: Tensor
    masks: Tensor


class Windows(Dataset[Window]):
    """Clips of several collections of recordings; one depends on (seed, index) alone.

    Args:
        collections: folders of recordings, with the weight of each collection.
        frames, side: of a clip, in frames and in pixels.
        seed: of the run.
        length: clips in the run.

    Raises:
        InputError: a recording is shorter or smaller than a clip.
    """

    def __init__(
        self,
        collections: SequenceOf[tuple[float, list[Path]]],
        frames: int,
        side: int,
        seed: int,
        length: int,
    ) -> None:
        weights = np.array([weight for weight, _ in collections])
        self.shares = weights / weights.sum()
        self.collections = [folders for _, folders in collections]
        self.frames, self.side, self.seed, self.length = frames, side, seed, length
        for folders in self.collections:
            for folder in folders:
                self._check(Recording.load(folder))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Window:
        rng = np.random.default_rng((self.seed, index))
        folders = self.collections[rng.choice(len(self.collections), p=self.shares)]
        recording = Recording.load(folders[rng.integers(len(folders))])
        moments = self._moments(len(recording.ids), rng)
        row = int(rng.integers(recording.readout.shape[1]))
        masks = recording.ids[moments] == row + 1
        y, x = self._corner(masks, rng)
        n = self.side // CELL
        crops = []
        for name, stride in zip(INPUTS, STRIDES, strict=True):
            array, scale = getattr(recording, name), CELL // stride
            array = array[:, row] if name == "readout" else array
            crop = array[moments, :, scale * y : scale * (y + n), scale * x : scale * (x + n)]
            crops.append(torch.from_numpy(crop.astype(np.float32)))
        masks = masks[:, CELL * y : CELL * (y + n), CELL * x : CELL * (x + n)]
        return Window(*crops, torch.from_numpy(masks.astype(np.float32)))

    def _moments(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """Numbers of the frames: one after the other, or every other one, forwards or backwards."""
        step = 2 if rng.random() < DOUBLE and 2 * self.frames <= length else 1
        span = step * (self.frames - 1) + 1
        moments = rng.integers(length - span + 1) + np.arange(0, span, step)
        return moments[::-1] if rng.random() < BACKWARDS else moments

    def _corner(self, masks: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
        """Of a crop, in cells: the object somewhere in it, or anywhere."""
        n, limits = self.side // CELL, [side // CELL - self.side // CELL for side in masks.shape[1:]]
        where = np.argwhere(masks.any(axis=0))
        if not len(where) or rng.random() < ANYWHERE:
            return tuple(int(rng.integers(limit + 1)) for limit in limits)
        centre = where[rng.integers(len(where))] / CELL + rng.uniform(-n / 4, n / 4, 2)
        return tuple(
            int(np.clip(round(c - n / 2), 0, limit)) for c, limit in zip(centre, limits, strict=True)
        )

    def _check(self, recording: Recording) -> None:
        length, height, width = recording.ids.shape
        if length < self.frames:
            found = f"{length} frames after the first mask of a sequence"
            raise InputError("--recipe replay", found, f"at least {self.frames}", "--frames N, or other data")
        if min(height, width) < self.side:
            found, fix = f"frames of {width}x{height}", f"--side {min(height, width) // CELL * CELL}"
            raise InputError("--recipe replay", found, f"at least {self.side} pixels a side", fix)
