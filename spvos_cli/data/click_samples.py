"""What the network of clicks learns from: crops about single objects of stills, and what is said first."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from spvos_cli.data.augment import (
    ColourJitter,
    Jitter,
    bend,
    crop,
    random_warp,
    recolour,
    shift,
    warp_image,
    warp_mask,
)
from spvos_cli.data.clips import ATTEMPTS, ClipKey, Draw, normalized
from spvos_cli.data.folders import VideoSequence, WeightedDataset

LEAST = 48  # pixels of a still that a crop has at least in width and height


class ClickSample(NamedTuple):
    """A picture, an object, and what is known of it.

    Attributes:
        image: (3, S, S) uint8 RGB.
        truth: (S, S) bool, the object.
        previous: (S, S) bool, a mask that is to be corrected; empty where there is none.
        box: (4,) float32, the edges of a box in pixels: left, top, right, bottom; all 0 where there is none.
    """

    image: Tensor
    truth: Tensor
    previous: Tensor
    box: Tensor


@dataclasses.dataclass(frozen=True)
class ClickRecipe:
    """How samples are made.

    Attributes:
        side: height and width of the pictures, a multiple of 16.
        crowded: share of the samples for which a still with several objects is looked for.
        paste: share that get an object of another still beside or over theirs.
        twin: share of the pasted objects that are a copy of the sample's own.
        box, mask: shares that begin with a box, and with a mask to correct; the rest begins with a click.
        zoom: smallest and largest side of a crop in lengths of the object, where there is a box or a mask.
        click_zoom: the same where there is but a click.
        loose: standard deviation of a box's edges, as a share of its sides.
        min_area: pixels that an object has to have in the picture.
    """

    side: int = 256
    crowded: float = 0.6
    paste: float = 0.4
    twin: float = 0.3
    box: float = 0.5
    mask: float = 0.2
    zoom: tuple[float, float] = (1.1, 2.0)
    click_zoom: tuple[float, float] = (1.1, 4.0)
    loose: float = 0.04
    min_area: int = 150
    motion: Jitter = Jitter(12, 6, 0.0, 0.0)
    colour: ColourJitter = ColourJitter(0.2, 0.2, 0.2, 0.05)


class ClickSamples(Dataset[ClickSample]):
    """Samples drawn from stills; items are looked up by `ClipKey`.

    Args:
        datasets: of which videos give single frames.
        recipe: how samples are made.
        seed: of the run.
    """

    def __init__(self, datasets: list[WeightedDataset], recipe: ClickRecipe, seed: int) -> None:
        self.datasets, self.recipe, self.seed = datasets, recipe, seed
        self.shares = normalized([dataset.weight for dataset in datasets])
        self._objects: dict[VideoSequence, int] = {}  # of stills that were looked at before

    def __getitem__(self, key: ClipKey) -> ClickSample:
        rng = np.random.default_rng((self.seed, key.number))
        recipe, draw = self.recipe, Draw(self.datasets, self.shares, rng, key.progress)
        starts = "box", "mask", "click"
        start = rng.choice(starts, p=(recipe.box, recipe.mask, 1 - recipe.box - recipe.mask))
        for _ in range(ATTEMPTS):
            image, truth = self._render(draw, recipe.click_zoom if start == "click" else recipe.zoom)
            if rng.random() < recipe.paste:
                image, truth = self._pasted(draw, image, truth)
            if truth.sum() >= recipe.min_area:
                break
        image = recolour(image, recipe.colour.sample(rng))
        empty = np.zeros_like(truth)
        box = _loose_box(truth, recipe.loose, rng) if start == "box" and truth.any() else np.zeros(4)
        previous = _spoiled(truth, rng) if start == "mask" else empty
        return ClickSample(
            torch.from_numpy(image).permute(2, 0, 1),
            torch.from_numpy(truth),
            torch.from_numpy(previous),
            torch.from_numpy(box.astype(np.float32)),
        )

    def _still(self, draw: Draw) -> tuple[VideoSequence, int]:
        """A still, or a frame of a video, and its number."""
        crowded = draw.rng.random() < self.recipe.crowded
        for _ in range(ATTEMPTS):
            sequence = draw.sequence()
            if not crowded or self._highest_id(sequence) > 1:
                break
        return sequence, int(draw.rng.integers(len(sequence.frames)))

    def _highest_id(self, sequence: VideoSequence) -> int:
        """In its first mask; remembered, and read from an indexed image without all that masks may be."""
        if sequence not in self._objects:
            with Image.open(sequence.masks[0]) as mask:
                ids = np.array(mask) if mask.mode == "P" else None
            self._objects[sequence] = int((sequence.read_mask(0) if ids is None else ids).max())
        return self._objects[sequence]

    def _render(
        self, draw: Draw, zoom: tuple[float, float], offset: float = 0.5
    ) -> tuple[np.ndarray, np.ndarray]:
        """A crop (S, S, 3) about an object, and the object in it (S, S) bool; empty where none was found.

        Args:
            zoom: the smallest and largest side of the crop in lengths of the object.
            offset: how far from the crop's middle the object may be, as a share of the room that there is.
        """
        rng, side = draw.rng, self.recipe.side
        for _ in range(ATTEMPTS):
            sequence, frame = self._still(draw)
            ids = sequence.read_mask(frame)
            values, counts = np.unique(ids[ids > 0], return_counts=True)
            fits = (counts > max(60, 0.0005 * ids.size)) & (counts < 0.8 * ids.size)
            if fits.any():
                break
        else:
            return sequence.read_frame(frame)[:1, :1].repeat(side, 0).repeat(side, 1), np.zeros(
                (side, side), bool
            )
        target = ids == rng.choice(values[fits])
        left, top, width, height = cv2.boundingRect(target.view(np.uint8))
        length = max(width, height) * np.exp(rng.uniform(*np.log(zoom)))
        aspect = 1.15 ** rng.uniform(-1, 1)
        sizes = (target.shape[1], target.shape[0])
        extents = [
            min(max(length * a, LEAST), size) for a, size in zip((aspect, 1 / aspect), sizes, strict=True)
        ]
        middle = []
        for start, long, extent, size in zip((left, top), (width, height), extents, sizes, strict=True):
            room = offset * abs(extent - long)
            place = start + long / 2 + rng.uniform(-0.5, 0.5) * room
            middle.append(float(np.clip(place, extent / 2, size - extent / 2)))
        affine = crop((middle[0], middle[1]), (extents[0], extents[1]), side, flip=rng.random() < 0.5)
        affine = self.recipe.motion.sample(rng, side) @ affine
        image = warp_image(sequence.read_frame(frame), affine, side)
        return image, warp_mask(target.astype(np.uint8), affine, side) > 0

    def _pasted(self, draw: Draw, image: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sample with another object before or behind its own."""
        rng, side = draw.rng, self.recipe.side
        if rng.random() < self.recipe.twin:
            angle = rng.uniform(0, 2 * np.pi)
            away = shift(0.4 * side * np.cos(angle), 0.4 * side * np.sin(angle))
            move = self.recipe.motion.sample(rng, side) @ away
            other, where = warp_image(image, move, side), truth.astype(np.uint8)
            pasted = warp_mask(where, move, side, mirror=False) > 0
        else:
            other, pasted = self._render(draw, (1.0, 3.0), offset=2.0)
        if rng.random() < 0.5:
            pasted &= ~truth
        elif (pasted & truth).sum() > 0.5 * truth.sum():
            return image, truth
        return np.where(pasted[..., None], other, image), truth & ~pasted


def _loose_box(truth: np.ndarray, loose: float, rng: np.random.Generator) -> np.ndarray:
    """The edges (4,) of a box that somebody drew about an object."""
    left, top, width, height = cv2.boundingRect(truth.view(np.uint8))
    edges = np.array([left, top, left + width, top + height], float)
    return edges + rng.normal(scale=loose, size=4) * (width, height, width, height)


def _spoiled(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mask (S, S) bool as a network or a hasty hand may leave it."""
    side = len(truth)
    mask = truth.astype(np.uint8)
    _, mask = bend(np.zeros((*truth.shape, 3), np.uint8), mask, random_warp(rng, side, rng.uniform(0, 0.03)))
    size = 2 * int(rng.integers(0, 6)) + 1
    change = (cv2.erode, cv2.dilate)[int(rng.integers(2))]
    mask = np.asarray(change(mask, np.ones((size, size), np.uint8)))
    ys, xs = np.nonzero(truth)
    for value in (0, 1):  # a part is missing, and a part too many
        if len(xs) and rng.random() < 0.6:
            at = int(rng.integers(len(xs)))
            axes = rng.uniform(0.05, 0.3, 2) * np.sqrt(len(xs)) * 1.5
            away = rng.uniform(-0.5, 0.5, 2) * np.sqrt(len(xs)) * value
            place = (int(xs[at] + away[0]), int(ys[at] + away[1]))
            turn = float(rng.uniform(0, 180))
            cv2.ellipse(mask, place, (int(axes[0]) + 1, int(axes[1]) + 1), turn, 0, 360, value, -1)
    return mask > 0
