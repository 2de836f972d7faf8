"""Makes the validation set on which choices are made, from what is never trained on.

    python -m tools.validation_set DAVIS ECSSD OUT
    spvos eval --dataset davis --year 2017 --split validation --data OUT

DAVIS is DAVIS-2016 in its standard layout, ECSSD a folder with images/ and masks/. OUT gets the DAVIS layout
with the splits `heldout` (the five sequences of DAVIS train that are not trained on), `composites` (ten pairs
of them, the object of one pasted over the other: two objects), `pseudo` (60 stills of ECSSD set in motion:
affine and thin-plate, occluders, exits and returns) and `validation` (all of them); and beside that
`lookalikes`: the five, and the 20 of `pseudo` in which the object is always to be seen, in each of which a
mirrored copy of the object passes behind it and is background. The same folders give the same files.
"""

from __future__ import annotations

import sys
from itertools import permutations
from pathlib import Path

import cv2
import numpy as np

from spvos_cli.data.augment import bend, control_points, crop, shift, spline_maps, warp_image, warp_mask
from spvos_cli.data.folders import VideoSequence, davis_sequences, still_sequences
from spvos_cli.data.training_sets import DAVIS_HELD_OUT
from spvos_cli.video.palettes import indexed_image, voc_palette

COMPOSITES, PSEUDO = 10, 60
LONGEST = 60  # frames of a composite
LENGTH, SIDE = 24, 384  # frames of a pseudo-video, and their height and width

Frames = list[np.ndarray]


def main(davis: Path, ecssd: Path, out: Path) -> None:
    """Writes the whole set."""
    rng = np.random.default_rng(2026)
    found = {sequence.name: sequence for sequence in davis_sequences(davis, 2016, "train")}
    held_out = [found[name] for name in DAVIS_HELD_OUT]
    splits: dict[str, list[str]] = {"heldout": [], "composites": [], "pseudo": []}
    for sequence in held_out:
        frames, masks = read(sequence)
        splits["heldout"].append(write(out, sequence.name, frames, masks))
    pairs = list(permutations(held_out, 2))
    for k in rng.choice(len(pairs), COMPOSITES, replace=False):
        below, above = pairs[k]
        frames, masks = composite(below, above, rng)
        splits["composites"].append(write(out, f"{above.name}_over_{below.name}", frames, masks))
    stills = [still for still in still_sequences(ecssd) if fits(still.read_mask(0))]
    for k, choice in enumerate(rng.choice(len(stills), (PSEUDO, 2), replace=False)):
        frames, masks = pseudo_video(stills[choice[0]], stills[choice[1]], k, rng)
        splits["pseudo"].append(write(out, f"pseudo_{k:02d}", frames, masks))
    splits["validation"] = [name for names in splits.values() for name in names]
    for split, names in splits.items():
        write_list(out, split, names)
    alone = [*davis_sequences(out, 2017, "heldout"), *davis_sequences(out, 2017, "pseudo")[::3]]
    twins = [write(out, f"{sequence.name}_twin", *with_twin(*read(sequence))) for sequence in alone]
    write_list(out, "lookalikes", twins)


def read(sequence: VideoSequence) -> tuple[Frames, Frames]:
    """All frames (H, W, 3), and masks (H, W) of one object."""
    count = range(len(sequence.frames))
    return [sequence.read_frame(i) for i in count], [np.minimum(sequence.read_mask(i), 1) for i in count]


def composite(below: VideoSequence, above: VideoSequence, rng: np.random.Generator) -> tuple[Frames, Frames]:
    """The object of one video, smaller and elsewhere, over another video, as its second object."""
    (frames, masks), (others, cut) = read(below), read(above)
    length = min(len(frames), len(others), LONGEST)
    height, width = masks[0].shape
    scale, flip = rng.uniform(0.45, 0.7), rng.random() < 0.5
    place = shift(rng.uniform(-0.25, 0.25) * width, rng.uniform(-0.1, 0.25) * height)
    centre = shift(width / 2, height / 2)
    affine = place @ centre @ np.diag([-scale if flip else scale, scale, 1.0]) @ np.linalg.inv(centre)
    for t in range(length):
        pasted = cv2.warpAffine(cut[t], affine[:2], (width, height), flags=cv2.INTER_NEAREST) == 1
        image = cv2.warpAffine(others[t], affine[:2], (width, height), flags=cv2.INTER_AREA)
        frames[t][pasted], masks[t][pasted] = image[pasted], 2
    return frames[:length], masks[:length]


def with_twin(frames: Frames, masks: Frames) -> tuple[Frames, Frames]:
    """A video in which the object's mirrored copy, a little smaller and with time running backwards, passes
    from one side of the frame to the other behind the object."""
    height, width = masks[0].shape
    centre, small = shift(width / 2, height / 2), np.diag([-0.85, 0.85, 1.0])
    shown = []
    for t, (frame, mask) in enumerate(zip(frames, masks, strict=True)):
        place = shift((0.5 - t / (len(frames) - 1)) * width, 0.0)
        affine = place @ centre @ small @ np.linalg.inv(centre)
        cut = cv2.warpAffine(masks[-1 - t], affine[:2], (width, height), flags=cv2.INTER_NEAREST) == 1
        image = cv2.warpAffine(frames[-1 - t], affine[:2], (width, height), flags=cv2.INTER_AREA)
        behind = cut & (mask == 0)
        shown.append(np.where(behind[..., None], image, frame))
    return shown, masks


def fits(mask: np.ndarray) -> bool:
    """Whether an object is neither tiny nor nearly everything."""
    return 0.03 < (mask > 0).mean() < 0.4


def pseudo_video(
    still: VideoSequence, other: VideoSequence, number: int, rng: np.random.Generator
) -> tuple[Frames, Frames]:
    """A still set in motion: the camera drifts over it, and it bends. Every third has something in the way;
    every third goes away and returns. Beyond its edges a still is mirrored, without its object."""
    image, mask = still.read_frame(0), np.minimum(still.read_mask(0), 1)
    hole = cv2.dilate(mask, np.ones((9, 9), np.uint8))
    empty = cv2.inpaint(np.ascontiguousarray(image), hole, 5, cv2.INPAINT_TELEA)
    height, width = mask.shape
    side = float(min(height, width))
    ys, xs = np.nonzero(mask)
    centre = (xs.mean(), ys.mean())
    drift, turn = rng.uniform(-0.12, 0.12, 2) * SIDE, rng.uniform(-12, 12)
    zoom, phase = rng.uniform(-0.2, 0.2), rng.uniform(0, 2 * np.pi)
    points = control_points()
    moves = rng.normal(scale=0.03, size=points.shape)
    angle = rng.uniform(0, 2 * np.pi)
    exit_move = 1.2 * SIDE * np.array([np.cos(angle), np.sin(angle)]) if number % 3 == 2 else np.zeros(2)
    obstacle = Obstacle(other, rng) if number % 3 == 1 else None
    frames, masks = [], []
    for t in range(LENGTH):
        share = t / (LENGTH - 1)
        swing = np.sin(2 * np.pi * share + phase) - np.sin(phase)
        away = np.clip(np.sin(np.pi * np.clip((share - 0.3) / 0.4, 0, 1)), 0, 1)
        dx, dy = drift * swing + exit_move * away
        rotation = np.vstack(
            [cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), turn * swing, 1 + zoom * share), [0, 0, 1]]
        )
        affine = shift(dx, dy) @ rotation @ crop(centre, (side, side), SIDE, flip=False)
        ids = warp_mask(mask, affine, SIDE, mirror=False)
        beyond = warp_mask(np.ones_like(mask), affine, SIDE, mirror=False) == 0
        frame = warp_image(image, affine, SIDE)
        frame[beyond] = warp_image(empty, affine, SIDE)[beyond]
        frame, ids = bend(frame, ids, spline_maps(points, points + moves * np.sin(np.pi * share), SIDE))
        if obstacle:
            obstacle.cover(frame, ids, share)
        frames.append(frame)
        masks.append(ids)
    return frames, masks


class Obstacle:
    """An object of another still that passes through the picture, and belongs to the background."""

    def __init__(self, still: VideoSequence, rng: np.random.Generator) -> None:
        mask = np.minimum(still.read_mask(0), 1)
        ys, xs = np.nonzero(mask)
        box = slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1)
        scale = 0.45 * SIDE / max(np.ptp(ys) + 1, np.ptp(xs) + 1)
        self.image = cv2.resize(
            still.read_frame(0)[box], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
        )
        self.mask = cv2.resize(mask[box], self.image.shape[1::-1], interpolation=cv2.INTER_NEAREST) == 1
        angle = rng.uniform(0, 2 * np.pi)
        self.direction = np.array([np.cos(angle), np.sin(angle)])

    def cover(self, frame: np.ndarray, ids: np.ndarray, share: float) -> None:
        """Pastes it where it is at this share of the video, in place; it starts and ends outside."""
        height, width = self.mask.shape
        x, y = (SIDE / 2 + 1.1 * SIDE * (2 * share - 1) * self.direction - (width / 2, height / 2)).astype(
            int
        )
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + width, SIDE), min(y + height, SIDE)
        if right <= left or bottom <= top:
            return
        part = slice(top - y, bottom - y), slice(left - x, right - x)
        seen = self.mask[part]
        frame[top:bottom, left:right][seen] = self.image[part][seen]
        ids[top:bottom, left:right][seen] = 0


def write_list(out: Path, split: str, names: list[str]) -> None:
    """A split in the DAVIS layout."""
    lists = out / "ImageSets" / "2017"
    lists.mkdir(parents=True, exist_ok=True)
    (lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))


def write(out: Path, name: str, frames: Frames, masks: Frames) -> str:
    """One sequence in the DAVIS layout; returns its name."""
    for kind in ("JPEGImages", "Annotations"):
        (out / kind / "480p" / name).mkdir(parents=True, exist_ok=True)
    for i, (frame, mask) in enumerate(zip(frames, masks, strict=True)):
        target = out / "JPEGImages" / "480p" / name / f"{i:05d}.jpg"
        cv2.imwrite(str(target), frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        indexed_image(mask, voc_palette()).save(out / "Annotations" / "480p" / name / f"{i:05d}.png")
    return name


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
