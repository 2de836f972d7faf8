"""Clips of the paper's recipe, which is STCN's: three frames, torchvision's transforms with one geometry for
image and mask."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image

from spvos_cli.data.augment import bend, random_warp
from spvos_cli.data.clips import ATTEMPTS, MAX_OBJECTS, Draw, Pixels, relabelled
from spvos_cli.data.folders import VideoSequence
from spvos_cli.data.torchvision_import import torchvision_module

GAPS = ((0.0, 5), (0.1, 10), (0.2, 15), (0.3, 20), (0.4, 25), (0.9, 5))  # from this share of the run on
MEAN_COLOUR = (124, 116, 104)  # of ImageNet: fills what a transform leaves empty


@dataclasses.dataclass(frozen=True)
class PaperClips:
    """How clips are made.

    Attributes:
        frames: frames in a clip.
        side: height and width of the frames, a multiple of 16.
    """

    frames: int = 3
    side: int = 384

    def make(self, draw: Draw) -> Pixels:
        """One clip; see `Recipe`. Drawn again where no object is seen in its first frame."""
        for _ in range(ATTEMPTS):
            sequence = draw.sequence()
            indices = frame_indices(
                len(sequence.frames), self.frames, max_gap(draw.progress) // sequence.step, draw.rng
            )
            frames, ids = self._transformed(sequence, indices, draw.rng)
            present = [int(i) for i in np.unique(ids[0]) if i]
            if present:
                break
        chosen = draw.rng.permutation(present)[:MAX_OBJECTS].tolist()
        return frames, np.stack([relabelled(mask, chosen) for mask in ids])

    def _transformed(self, sequence: VideoSequence, indices: list[int], rng: np.random.Generator) -> Pixels:
        """The clip's transform with the same draw for every frame, each frame's own with a draw of its
        own."""
        whole, each = self._video if len(sequence.frames) > 1 else self._still
        clip_seed = int(rng.integers(2**31))
        frames, masks = [], []
        for t, index in enumerate(indices):
            image, ids = _seeded(whole, clip_seed, sequence.read_frame(index), sequence.read_mask(index))
            image, ids = _seeded(each, int(rng.integers(2**31)), image, ids)
            if t > 0 and len(sequence.frames) == 1 and rng.random() < 0.5:
                image, ids = bend(image, ids, random_warp(rng, self.side, 0.02))
            frames.append(image)
            masks.append(ids)
        return np.stack(frames), np.stack(masks)

    @cached_property
    def _video(self) -> tuple[Any, Any]:
        """For the clip, and for each frame of it: crop, flip and colour; a small affine motion and little
        colour."""
        v2 = torchvision_module("transforms.v2")
        cubic, fill = v2.InterpolationMode.BICUBIC, _fill()
        whole = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.RandomResizedCrop(self.side, scale=(0.36, 1.0), interpolation=cubic),
                v2.ColorJitter(0.1, 0.03, 0.03, 0),
                v2.RandomGrayscale(0.05),
            ]
        )
        each = v2.Compose(
            [
                v2.RandomAffine(15, shear=10, interpolation=cubic, fill=fill),
                v2.ColorJitter(0.01, 0.01, 0.01, 0),
            ]
        )
        return whole, each

    @cached_property
    def _still(self) -> tuple[Any, Any]:
        """As for videos, but all motion is made, and larger."""
        v2 = torchvision_module("transforms.v2")
        cubic, fill = v2.InterpolationMode.BICUBIC, _fill()
        whole = v2.Compose(
            [
                v2.RandomAffine(0, scale=(0.8, 1.5), fill=fill),
                v2.RandomHorizontalFlip(),
                v2.Resize(self.side, interpolation=cubic),
                v2.ColorJitter(0.1, 0.05, 0.05, 0.05),
                v2.RandomGrayscale(0.05),
            ]
        )
        each = v2.Compose(
            [
                v2.RandomAffine(20, scale=(0.9, 1.1), shear=10, interpolation=cubic, fill=fill),
                v2.RandomCrop(self.side, pad_if_needed=True, fill=fill),
                v2.ColorJitter(0.1, 0.05, 0.05, 0),
            ]
        )
        return whole, each


def max_gap(progress: float) -> int:
    """The largest distance between two frames of a clip that follow each other."""
    return next(gap for start, gap in reversed(GAPS) if progress >= start)


def frame_indices(length: int, count: int, gap: int, rng: np.random.Generator) -> list[int]:
    """Frames in order with gaps of at most `gap`, as far as the sequence has room; reversed half of the
    time."""
    if length == 1:
        return [0] * count
    gap = max(1, min(gap, (length - 1) // (count - 1)))
    offsets = np.concatenate([[0], np.cumsum(rng.integers(1, gap + 1, count - 1))])
    offsets = np.minimum(offsets, length - 1)
    indices: list[int] = (rng.integers(0, length - offsets[-1]) + offsets).tolist()
    return indices[::-1] if rng.random() < 0.5 else indices


def _fill() -> dict[type, Any]:
    """What transforms put where an image or a mask has nothing."""
    return {Image.Image: MEAN_COLOUR, torchvision_module("tv_tensors").Mask: 0}


def _seeded(transform: Any, seed: int, image: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A transform of an image (H, W, 3) and its ids (H, W) whose random draw depends on the seed alone."""
    mask = torchvision_module("tv_tensors").Mask(torch.from_numpy(ids)[None])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        changed, moved = transform(
            Image.fromarray(image), mask
        )  # Pillow's bicubic, as STCN's; tensors have none
    return np.array(changed), moved[0].contiguous().numpy()
