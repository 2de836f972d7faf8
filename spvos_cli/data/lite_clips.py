"""Clips of the lite recipe: cropped and jittered in one warp a frame, with objects of other clips pasted
in."""

from __future__ import annotations

import dataclasses

import numpy as np

from spvos_cli.data.augment import (
    Affine,
    ColourJitter,
    Jitter,
    bend,
    chain,
    crop,
    random_warp,
    recolour,
    shift,
    warp_image,
    warp_mask,
)
from spvos_cli.data.clips import ATTEMPTS, MAX_OBJECTS, MEMORY_FRAMES, Draw, Pixels, relabelled
from spvos_cli.data.folders import VideoSequence


@dataclasses.dataclass(frozen=True)
class LiteClips:
    """How clips are made.

    Attributes:
        frames: frames in a clip.
        side: height and width of the frames, a multiple of 16.
        region: the smallest and largest share of the short side that a crop covers.
        max_gap: largest distance between two frames of a clip that follow each other.
        near_gap, near_share: how often, and within what distance, the gap is a small one.
        paste: share of one-object clips that get a second object pasted in.
        twin: share of the pasted objects that are a copy of the clip's own object.
        unlabelled: share of the pasted objects that stay background, as something in the way.
        min_area: pixels that an object has to have in the first frame.
        bend_share, bend: how often frames of a still are bent by a thin-plate spline, and how much.
        sparse_gap: largest distance between frames from a clip's third frame on, which run sparsely; None: as
            before it.
        sparse_motion: by what share of the others' they are moved, bent and recoloured against the frame
            before; at 0 only what moves in the video moves.
    """

    frames: int = 3
    side: int = 256
    region: tuple[float, float] = (0.5, 1.0)
    max_gap: int = 25
    near_gap: int = 3
    near_share: float = 0.5
    paste: float = 0.5
    twin: float = 0.35
    unlabelled: float = 0.35
    min_area: int = 120
    bend_share: float = 0.5
    bend: float = 0.02
    sparse_gap: int | None = None
    sparse_motion: float = 1.0
    still_motion: Jitter = Jitter(20, 10, 0.2, 0.12)
    frame_motion: Jitter = Jitter(6, 4, 0.06, 0.03)
    clip_colour: ColourJitter = ColourJitter(0.2, 0.2, 0.2, 0.05)
    frame_colour: ColourJitter = ColourJitter(0.05, 0.05, 0.05)

    def make(self, draw: Draw) -> Pixels:
        """One clip; see `Recipe`."""
        frames, ids = _Canvas(draw.sequence(), self, draw.rng).render()
        if ids[0].max() == 1 and draw.rng.random() < self.paste:
            self._paste(frames, ids, draw)
        return frames, ids

    def _paste(self, frames: np.ndarray, ids: np.ndarray, draw: Draw) -> None:
        """Pastes an object of another clip (or this clip's own, moved) over this one, in place."""
        rng = draw.rng
        if rng.random() < self.twin:
            other_frames, other_ids = _moved(frames, ids, self, rng)
        else:
            other_frames, other_ids = _Canvas(draw.sequence(), self, rng).render(alone=True, offset=0.5)
        pasted = other_ids == 1
        hidden = (pasted[0] & (ids[0] == 1)).sum() > 0.6 * (ids[0] == 1).sum()
        if hidden or pasted[0].sum() < self.min_area:
            return
        frames[pasted] = other_frames[pasted]
        ids[pasted] = 0 if rng.random() < self.unlabelled else 2


def _moved(frames: np.ndarray, ids: np.ndarray, recipe: LiteClips, rng: np.random.Generator) -> Pixels:
    """The clip, mirrored and shifted, each frame a little differently."""
    side = recipe.side
    angle = rng.uniform(0, 2 * np.pi)
    base = crop((side / 2, side / 2), (side, side), side, flip=True)
    base = shift(0.35 * side * np.cos(angle), 0.35 * side * np.sin(angle)) @ base
    affines = [recipe.frame_motion.sample(rng, side) @ base for _ in frames]
    moved = [warp_image(frame, affine, side) for frame, affine in zip(frames, affines, strict=True)]
    masks = [warp_mask(mask, affine, side, mirror=False) for mask, affine in zip(ids, affines, strict=True)]
    return np.stack(moved), np.stack(masks)


class _Canvas:
    """One sequence on its way to a clip."""

    def __init__(self, sequence: VideoSequence, recipe: LiteClips, rng: np.random.Generator) -> None:
        self.sequence, self.recipe, self.rng = sequence, recipe, rng

    def render(self, *, alone: bool = False, offset: float = 0.3) -> Pixels:
        """Frames (T, S, S, 3) and ids (T, S, S); tried again where no object is seen in the first frame.

        Args:
            alone: one object even where there are several.
            offset: how far from the crop's centre the object may be, as a share of the crop.
        """
        for _ in range(ATTEMPTS):
            indices = self._indices()
            first = self.sequence.read_mask(indices[0])
            objects = self._objects(first)[: 1 if alone else MAX_OBJECTS]
            if not objects:
                continue
            affines = self._affines(first, objects[0], len(indices), offset)
            if (
                warp_mask(relabelled(first, objects), affines[0], self.recipe.side) == 1
            ).sum() > self.recipe.min_area:
                break
        else:
            objects, affines = [], self._affines(first, 0, len(indices), offset)
        return self._warp(indices, objects, affines)

    def _indices(self) -> list[int]:
        """Frames of the clip; time runs backwards half of the time."""
        length, recipe, rng = len(self.sequence.frames), self.recipe, self.rng
        if length == 1:
            return [0] * recipe.frames
        limits = [
            recipe.near_gap if rng.random() < recipe.near_share else recipe.max_gap
            for _ in range(recipe.frames - 1)
        ]
        if recipe.sparse_gap is not None:
            sparse = slice(MEMORY_FRAMES - 1, None)
            limits[sparse] = [min(limit, recipe.sparse_gap) for limit in limits[sparse]]
        gaps = [rng.integers(1, 1 + max(1, limit // self.sequence.step)) for limit in limits]
        offsets = np.concatenate([[0], np.cumsum(gaps)])
        if offsets[-1] > length - 1:
            offsets = offsets * (length - 1) // offsets[-1]
        backwards = rng.random() < 0.5
        path = offsets[-1] - offsets if backwards else offsets
        indices: list[int] = (rng.integers(0, length - offsets[-1]) + path).tolist()
        return indices

    def _objects(self, ids: np.ndarray) -> list[int]:
        """Ids of objects neither tiny nor nearly everything, in random order."""
        values, counts = np.unique(ids[ids > 0], return_counts=True)
        fits = (counts > 0.002 * ids.size) & (counts < 0.6 * ids.size)
        objects: list[int] = self.rng.permutation(values[fits]).tolist()
        return objects

    def _affines(self, ids: np.ndarray, target: int, count: int, offset: float) -> list[Affine]:
        """The clip's crop, which sees the target, then a motion for each frame."""
        recipe, rng = self.recipe, self.rng
        side, (height, width) = recipe.side, ids.shape
        region = min(height, width) * rng.uniform(*recipe.region)
        aspect = 1.15 ** rng.uniform(-1, 1)
        extent = (min(region * aspect, width), min(region / aspect, height))
        ys, xs = np.nonzero(ids == target)
        middle = (xs.mean(), ys.mean()) if len(xs) else (width / 2, height / 2)
        x, y = (
            float(np.clip(m + rng.uniform(-offset, offset) * e, e / 2, max(size - e / 2, e / 2)))
            for m, e, size in zip(middle, extent, (width, height), strict=True)
        )
        base = crop((x, y), extent, side, flip=rng.random() < 0.5)
        if len(self.sequence.frames) > 1:
            return self._calmed([recipe.frame_motion.sample(rng, side) @ base for _ in range(count)])
        affines = [base]
        for i in range(1, count):
            near = rng.random() < recipe.near_share and i > 1
            motion = recipe.frame_motion if near else recipe.still_motion
            affines.append(motion.sample(rng, side) @ affines[-1])
        return self._calmed(affines)

    def _calmed(self, maps: list[np.ndarray]) -> list[np.ndarray]:
        """Affine maps or colour matrices of a clip's frames, those of the frames that run sparsely nearer to
        the one before."""
        calmed = list(maps[:MEMORY_FRAMES])
        for new in maps[MEMORY_FRAMES:]:
            calmed.append(calmed[-1] + self.recipe.sparse_motion * (new - calmed[-1]))
        return calmed

    def _warp(self, indices: list[int], objects: list[int], affines: list[Affine]) -> Pixels:
        recipe, rng = self.recipe, self.rng
        clip_colour = recipe.clip_colour.sample(rng)
        colours = self._calmed([recipe.frame_colour.sample(rng) for _ in indices])
        frames, masks = [], []
        for t, (index, affine, colour) in enumerate(zip(indices, affines, colours, strict=True)):
            image = warp_image(self.sequence.read_frame(index), affine, recipe.side)
            ids = warp_mask(relabelled(self.sequence.read_mask(index), objects), affine, recipe.side)
            if t > 0 and len(self.sequence.frames) == 1 and rng.random() < recipe.bend_share:
                most = recipe.bend * (recipe.sparse_motion if t >= MEMORY_FRAMES else 1)
                image, ids = bend(image, ids, random_warp(rng, recipe.side, most))
            frames.append(recolour(image, chain(clip_colour, colour)))
            masks.append(ids)
        return np.stack(frames), np.stack(masks)
