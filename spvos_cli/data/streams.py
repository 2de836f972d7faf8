"""Videos as endless streams: several play side by side, each a stretch of frames a step.

What is to be followed is an object of the first frame's mask, or any region of like colour in it: gates learn
from what the network itself says, so nobody has to know what is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as SequenceOf
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from spvos_cli.data.augment import Affine, ColourJitter, crop, recolour, warp_image, warp_mask
from spvos_cli.data.clips import ATTEMPTS, MAX_OBJECTS, Draw, relabelled, with_shares
from spvos_cli.data.folders import Sequence

STEPS = (3, 8)  # how many stretches a video plays
REGION = (0.6, 2.0)  # what is seen, in short sides of a frame, log-uniform; beyond its borders it is mirrored
NEARER = 0.75  # times what was seen, where no object is in it
LIKE_COLOUR, SECOND = 0.3, 0.3  # shares of plays: no true object; a region of like colour beside the true one
DOUBLE = 0.25  # share of plays that leave out every other frame
AREA = (0.0005, 0.3)  # share of the frame that a region of like colour may cover
COLOUR = ColourJitter(0.15, 0.15, 0.2, 0.02)


class Stretch(NamedTuple):
    """Attributes: frames (T, 3, S, S) uint8, starts: whether a video begins with them, ids (S, S) uint8 in
    0..2: the objects in the frame with which it began."""

    frames: Tensor
    ids: Tensor
    starts: bool


class Play(NamedTuple):
    """Attributes: number of a slot's play, and the step that it begins with."""

    number: int
    first: int


class Streams(Dataset[Stretch]):
    """Stretches of videos; one depends on (seed, index) alone, and index is step * slots + slot.

    Args:
        collections: sequences of two frames or more, with the weight of each collection.
        frames: of a stretch.
        side: of the frames, a multiple of 16.
        seed: of the run.
        slots: streams side by side.
        steps: of the run.
    """

    def __init__(
        self,
        collections: SequenceOf[tuple[float, list[Sequence]]],
        frames: int,
        side: int,
        seed: int,
        slots: int,
        steps: int,
    ) -> None:
        self.collections, self.shares = with_shares(collections)
        self.frames, self.side, self.seed, self.slots, self.steps = frames, side, seed, slots, steps

    def __len__(self) -> int:
        return self.slots * self.steps

    def __getitem__(self, index: int) -> Stretch:
        step, slot = divmod(index, self.slots)
        play = self._play(slot, step)
        rng = np.random.default_rng((self.seed, slot, play.number))
        sequence = Draw(self.collections, self.shares, rng, 0.0).sequence()
        path = walk(len(sequence.frames), rng)
        moments = [next(path) for _ in range((step - play.first + 1) * self.frames)]
        image, truth = sequence.read_frame(moments[0]), sequence.read_mask(moments[0])
        ids = objects_to_follow(image, truth, rng)
        (affine, first), colour = self._view(ids, rng), COLOUR.sample(rng)
        frames = [
            recolour(warp_image(sequence.read_frame(t), affine, self.side), colour)
            for t in moments[-self.frames :]
        ]
        stack = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
        return Stretch(stack, torch.from_numpy(first), step == play.first)

    def _play(self, slot: int, step: int) -> Play:
        """What a slot plays at a step."""
        rng = np.random.default_rng((self.seed, slot))
        number = first = 0
        while first + (length := int(rng.integers(STEPS[0], STEPS[1] + 1))) <= step:
            number, first = number + 1, first + length
        return Play(number, first)

    def _view(self, ids: np.ndarray, rng: np.random.Generator) -> tuple[Affine, np.ndarray]:
        """A square of the frame that shows some of the object, flipped half of the time; and its ids."""
        for attempt in range(ATTEMPTS):
            affine = self._square(ids, NEARER**attempt, rng)
            first = warp_mask(ids, affine, self.side)
            if (first == 1).any():  # what is small may fall between the pixels of a distant view
                break
        return affine, first

    def _square(self, ids: np.ndarray, nearer: float, rng: np.random.Generator) -> Affine:
        height, width = ids.shape
        extent = nearer * min(height, width) * np.exp(rng.uniform(*np.log(REGION)))
        seen = np.argwhere(ids == 1)
        y, x = seen[rng.integers(len(seen))] + rng.uniform(-extent / 4, extent / 4, 2)
        halves = ((c, size, min(extent, size) / 2) for c, size in ((x, width), (y, height)))
        center = [np.clip(c, half, size - half) for c, size, half in halves]
        return crop(center, (extent, extent), self.side, flip=rng.random() < 0.5)


def walk(length: int, rng: np.random.Generator) -> Iterator[int]:
    """Frames of a video without end, from any of them, forwards or backwards, and back where it ends."""
    pace = 2 if rng.random() < DOUBLE and length > 2 else 1
    period = 2 * (length - 1)
    place = int(rng.integers(period))
    while True:
        yield place if place < length else period - place
        place = (place + pace) % period


def objects_to_follow(image: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W) uint8 ids in 0..2; id 1 is somewhere."""
    found = rng.permutation(np.unique(truth[truth > 0]))[:MAX_OBJECTS].tolist()
    if not found or rng.random() < LIKE_COLOUR:
        return region_of_like_colour(image, rng).astype(np.uint8)
    ids = relabelled(truth, found)
    if len(found) == 1 and rng.random() < SECOND:
        ids[region_of_like_colour(image, rng) & (ids == 0)] = 2
    return ids


def region_of_like_colour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W) bool: what touches a random pixel and looks like it; a box where there is no such region."""
    height, width = image.shape[:2]
    smooth = cv2.GaussianBlur(image, (0, 0), height / 160)
    for _ in range(ATTEMPTS):
        seed, tolerance = (
            (int(rng.integers(width)), int(rng.integers(height))),
            (float(rng.uniform(2, 10)),) * 3,
        )
        filled = np.zeros((height + 2, width + 2), np.uint8)
        cv2.floodFill(smooth, filled, seed, 0, tolerance, tolerance, 4 | cv2.FLOODFILL_MASK_ONLY)
        region = cv2.morphologyEx(filled[1:-1, 1:-1], cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)) > 0
        if AREA[0] < region.mean() < AREA[1]:
            return region
    region = np.zeros((height, width), bool)
    y, x = rng.integers(height // 2), rng.integers(width // 2)
    region[y : y + height // 4, x : x + width // 4] = True
    return region
