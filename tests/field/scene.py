"""A textured blob that moves over a textured ground: what field tests are made of."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from spvos_cli.video.frames import Source
from spvos_cli.video.images import ImageSource

WIDTH, HEIGHT, LENGTH = 160, 96, 6
Scene = tuple[list[np.ndarray], list[np.ndarray]]


def scene(width: int = WIDTH, height: int = HEIGHT, length: int = LENGTH) -> Scene:
    """Frames (H, W, 3) uint8 and masks (H, W) uint8 of 0 and 1."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(40, 150, (height // 12, width // 12, 3), dtype=np.uint8)
    ground = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    skin = cv2.resize(
        rng.integers(120, 255, (8, 8, 3), dtype=np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
    )
    skin[..., 2] //= 4
    y, x = np.mgrid[:height, :width]
    frames, masks = [], []
    for t in range(length):
        left, top = width * (0.3 + 0.012 * t), height * (0.45 + 0.005 * t)
        ids = (((x - left) / (width * 0.14)) ** 2 + ((y - top) / (height * 0.25)) ** 2 < 1).astype(np.uint8)
        moved = np.roll(skin, (int(height * 0.005 * t), int(width * 0.012 * t)), (0, 1))
        frames.append(np.where(ids[..., None] > 0, moved, ground))
        masks.append(ids)
    return frames, masks


FRAMES, MASKS = scene()


def save_frames(folder: Path, names: list[str], frames: list[np.ndarray] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    for name, image in zip(names, frames or FRAMES, strict=False):
        Image.fromarray(image).save(folder / name)
    return folder


def folder_source(folder: Path, names: list[str]) -> Source:
    save_frames(folder, names)
    return ImageSource(sorted(folder.iterdir()), folder.name)


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    """Of what is not 0."""
    return float(((found > 0) & (truth > 0)).sum() / max(1, ((found > 0) | (truth > 0)).sum()))
