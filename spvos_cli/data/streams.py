"""Videos as endless streams side by side, each of which gives a segment of a few frames a step.

A stream follows one video after the other; what it shows of one, over several steps, is an episode. Frames of
an episode go through the video forwards and backwards. The order of the draws from a generator is part of
what a seed means: another order gives other segments.

What is to be followed is an object of the first frame's mask, or any region of like colour in it: gates learn
from what the network itself says, so nobody has to know what is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from spvos_cli.data.augment import Affine, ColourJitter, crop, recolour, warp_image, warp_mask
from spvos_cli.data.clips import ATTEMPTS, MAX_OBJECTS, ClipKey, Draw, normalized, relabelled
from spvos_cli.data.folders import WeightedDataset

STEPS = (3, 8)  # how many segments an episode has
REGION = (0.6, 2.0)  # what is seen, in short sides of a frame, log-uniform; beyond its borders it is mirrored
NEARER = 0.75  # times what was seen, where no object is in it
LIKE_COLOUR = 0.3  # share of episodes that follow a region of like colour, and no true object
SECOND = 0.3  # share of the others with one object that follow such a region beside it
DOUBLE = 0.25  # share of episodes that leave out every other frame
AREA = (0.0005, 0.3)  # share of the frame that a region of like colour may cover
COLOUR = ColourJitter(0.15, 0.15, 0.2, 0.02)


class Segment(NamedTuple):
    """Attributes: frames (T, 3, S, S) uint8, starts: whether an episode begins with them, ids (S, S) uint8 in
    0..2: the objects in the frame with which it began."""

    frames: Tensor
    ids: Tensor
    starts: bool


class Episode(NamedTuple):
    """Attributes: number of a stream's episode, first_step: the step that it begins with."""

    number: int
    first_step: int


class Streams(Dataset[Segment]):
    """Segments of videos. One depends on the seed and on its number alone, which is step * streams + stream.

    Args:
        datasets: of sequences of two frames or more.
        frames: of a segment.
        side: of the frames, a multiple of 16.
        seed: of the run.
        streams: how many there are side by side.
    """

    def __init__(
        self,
        datasets: Sequence[WeightedDataset],
        frames: int,
        side: int,
        seed: int,
        streams: int,
    ) -> None:
        self.datasets = datasets
        self.shares = normalized([dataset.weight for dataset in datasets])
        self.frames, self.side, self.seed, self.streams = frames, side, seed, streams

    def __getitem__(self, key: ClipKey) -> Segment:
        step, stream = divmod(key.number, self.streams)
        episode = self._episode(stream, step)
        rng = np.random.default_rng((self.seed, stream, episode.number))
        sequence = Draw(self.datasets, self.shares, rng, 0.0).sequence()
        path = pingpong_frames(len(sequence.frames), rng)
        shown = [next(path) for _ in range((step - episode.first_step + 1) * self.frames)]
        image, truth = sequence.read_frame(shown[0]), sequence.read_mask(shown[0])
        ids = objects_to_follow(image, truth, rng)
        view, colour = choose_view(ids, self.side, rng), COLOUR.sample(rng)
        frames = [
            recolour(warp_image(sequence.read_frame(t), view.affine, self.side), colour)
            for t in shown[-self.frames :]
        ]
        stack = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
        return Segment(stack, torch.from_numpy(view.ids), step == episode.first_step)

    def _episode(self, stream: int, step: int) -> Episode:
        """What a stream shows at a step."""
        rng = np.random.default_rng((self.seed, stream))
        number = first = 0
        while first + (length := int(rng.integers(STEPS[0], STEPS[1] + 1))) <= step:
            number, first = number + 1, first + length
        return Episode(number, first)


class View(NamedTuple):
    """Attributes: affine from a frame to its square view, ids (S, S) uint8 of the objects as they are seen
    there."""

    affine: Affine
    ids: np.ndarray


def choose_view(ids: np.ndarray, side: int, rng: np.random.Generator) -> View:
    """A square of the frame that shows some of object 1, flipped half of the time.

    Args:
        ids: (H, W) uint8.
        side: of the view.
    """
    for attempt in range(ATTEMPTS):
        affine = _square(ids, side, NEARER**attempt, rng)
        seen = warp_mask(ids, affine, side)
        if (seen == 1).any():  # what is small may fall between the pixels of a distant view
            break
    return View(affine, seen)


def _square(ids: np.ndarray, side: int, nearer: float, rng: np.random.Generator) -> Affine:
    height, width = ids.shape
    extent = nearer * min(height, width) * np.exp(rng.uniform(*np.log(REGION)))
    seen = np.argwhere(ids == 1)
    y, x = seen[rng.integers(len(seen))] + rng.uniform(-extent / 4, extent / 4, 2)
    halves = ((c, size, min(extent, size) / 2) for c, size in ((x, width), (y, height)))
    center_x, center_y = (float(np.clip(c, half, size - half)) for c, size, half in halves)
    return crop((center_x, center_y), (extent, extent), side, flip=rng.random() < 0.5)


def pingpong_frames(length: int, rng: np.random.Generator) -> Iterator[int]:
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
