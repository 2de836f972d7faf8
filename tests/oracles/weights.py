"""Weights and input of the oracles: made from a tensor's name and shape alone, so they need no file."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

HERE = Path(__file__).parent


def named_tensor(name: str, shape: list[int]) -> Tensor:
    """The tensor that the oracle's maker put under this name."""
    random = np.random.RandomState(zlib.crc32(name.encode()))
    kind = name.rsplit(".", 1)[-1]
    if kind == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.long)
    if kind == "running_mean":
        values = 0.1 * random.standard_normal(shape)
    elif kind == "running_var":
        values = 0.5 + random.random_sample(shape)
    elif kind == "bias":
        values = 0.05 * random.standard_normal(shape)
    elif len(shape) > 1:
        values = random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    else:
        values = 0.8 + 0.4 * random.random_sample(shape)
    return torch.from_numpy(np.asarray(values, np.float32))


def checkpoint(host: str) -> dict[str, Tensor]:
    """An official checkpoint's names and shapes, with the oracle's values: "stcn" or "xmem"."""
    names = json.loads((HERE / f"{host}_names.json").read_text())
    return {name: named_tensor(name, shape) for name, shape in names.items()}


def stcn_checkpoint() -> dict[str, Tensor]:
    """STCN's."""
    return checkpoint("stcn")


def video(length: int, height: int, width: int, seed: int = 0) -> tuple[Tensor, np.ndarray]:
    """Smooth frames (T, 3, H, W) in [0, 1], and the ids (H, W) of two objects in the first."""
    random = np.random.RandomState(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    phase = random.random_sample((3, 4)) * 6.28
    frames = [
        [
            0.5
            + 0.25 * np.sin(x / (9 + 3 * i) + phase[i, 0] + 0.3 * t)
            + 0.25 * np.cos(y / (7 + 2 * i) + phase[i, 1] - 0.2 * t)
            for i in range(3)
        ]
        for t in range(length)
    ]
    ids = np.zeros((height, width), np.uint8)
    ids[height // 4 : height // 2, width // 8 : width // 3] = 1
    ids[height // 3 : 3 * height // 4, width // 2 : 3 * width // 4] = 2
    return torch.from_numpy(np.array(frames, np.float32)), ids
