"""Renews the pictures of docs/failures.md, and prints its figures: `python -m tools.failures`, a minute.

Each scene is a rendered clip with known masks, of a kind that the network is known to fail at. It is followed
from the mask of its first frame, and once more with what a user can do about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from spvos_cli import VideoSegmenter, load_model
from spvos_cli.data.demo_scene import texture
from spvos_cli.evaluation.measures import similarity_and_accuracy

FOLDER = Path("docs/failures")
WIDTH, HEIGHT, FRAMES = 640, 360, 60
SHOWN = (0, 15, 30, 45, 59)
TILE = (256, 144)
SKIN = 161
Clip = list[tuple[np.ndarray, np.ndarray]]  # frames (H, W, 3) and ids (H, W), 1 the object to follow
FIRST: dict[int, tuple[int, ...]] = {0: (1,)}


class Scene(NamedTuple):
    """Attributes: `make` renders it; `helped`: objects whose masks help, by frame."""

    make: Callable[[], Clip]
    helped: dict[int, tuple[int, ...]]


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    network = load_model()
    for name, scene in SCENES.items():
        clip = scene.make()
        alone, helped = (follow(VideoSegmenter(network), clip, given) for given in (FIRST, scene.helped))
        save(clip, alone, FOLDER / f"{name}.png")
        print(f"{name}: J&F {score(clip, alone):.1f}, helped {score(clip, helped):.1f}")


def follow(segmenter: VideoSegmenter, clip: Clip, given: dict[int, tuple[int, ...]]) -> list[np.ndarray]:
    """(H, W) bool of the first object in every frame."""
    return [
        segmenter.step(frame, np.where(np.isin(ids, given[t]), ids, 0) if t in given else None) == 1
        for t, (frame, ids) in enumerate(clip)
    ]


def score(clip: Clip, found: list[np.ndarray]) -> float:
    """J&F in per cent over the frames after the first."""
    pairs = [(ids == 1, each) for (_, ids), each in zip(clip, found, strict=True)][1:]
    return 50 * float(np.mean([sum(similarity_and_accuracy(each, mask)) for mask, each in pairs]))


def save(clip: Clip, found: list[np.ndarray], path: Path) -> None:
    """Some frames side by side: what was found in green, what was missed in blue, what is wrong in red."""
    tiles = []
    for t in SHOWN:
        frame, true = clip[t][0], clip[t][1] == 1
        picture = frame // 2
        picture[true & found[t]] += np.array([0, 110, 0], np.uint8)
        picture[true & ~found[t]] = (60, 110, 255)
        picture[~true & found[t]] = (255, 60, 50)
        tiles.append(cv2.resize(picture, TILE, interpolation=cv2.INTER_AREA))
    Image.fromarray(np.hstack(tiles)).quantize(64).save(path, optimize=True)


def look_alikes() -> Clip:
    """Two balls of one skin cross, the other one in front."""
    rng, at = np.random.default_rng(1), np.linspace(0, 1, FRAMES)
    skin = texture(rng, (SKIN, SKIN), 7, (215, 120, 40))
    clip = []
    for frame, t in zip(grounds(rng), at, strict=True):
        mask = paste(frame, skin, disc(80), 100 + 440 * t, 150 + 30 * np.sin(5 * t))
        over = paste(frame, skin, disc(80), 540 - 440 * t, 200 - 30 * np.sin(4 * t))
        clip.append((frame, np.where(over, 2, mask)))
    return blurred(clip)


def thin_parts() -> Clip:
    """A body on lines one to two pixels thick, which swings."""
    rng, clip = np.random.default_rng(2), []
    skin = texture(rng, (SKIN, SKIN), 7, (200, 60, 60))
    for t, frame in enumerate(grounds(rng)):
        x, y = 320 + 120 * np.sin(t / 9), 260 + 20 * np.cos(t / 9)
        mask = paste(frame, skin, disc(45), x, y)
        lines = np.zeros((HEIGHT, WIDTH), np.uint8)
        for k in np.linspace(-90, 90, 10):
            cv2.line(lines, (round(x), round(y - 30)), (round(x + k), 0), 1, 2)
        frame[lines > 0] = (225, 215, 120)
        clip.append((frame, mask | (lines > 0)))
    return blurred(clip)


def turns() -> Clip:
    """A ball whose other side has other colours turns by half in a third of a second."""
    rng, clip = np.random.default_rng(3), []
    sides = texture(rng, (SKIN, SKIN), 7, (215, 120, 40)), texture(rng, (SKIN, SKIN), 7, (60, 90, 215))
    for t, frame in enumerate(grounds(rng)):
        shown = float(np.clip((t - 20) / 8, 0, 1))
        skin = sides[0].copy()
        skin[:, : round(SKIN * shown)] = sides[1][:, : round(SKIN * shown)]
        clip.append((frame, paste(frame, skin, disc(70), 200 + 4 * t, 180)))
    return blurred(clip)


def small() -> Clip:
    """A ball of 13 pixels that jumps by more than its size from frame to frame."""
    rng, clip = np.random.default_rng(5), []
    skin = texture(rng, (SKIN, SKIN), 4, (235, 225, 90))
    for t, frame in enumerate(grounds(rng)):
        clip.append((frame, paste(frame, skin, disc(6), 40 + 9.5 * t, 300 - 90 * abs(np.sin(t / 4)))))
    return blurred(clip)


def grounds(rng: np.random.Generator) -> Iterator[np.ndarray]:
    """A textured ground that moves slowly to the left: FRAMES frames (H, W, 3) uint8."""
    ground = texture(rng, (HEIGHT, WIDTH + FRAMES), 20, (80, 110, 85))
    return (ground[:, t : t + WIDTH].copy() for t in range(FRAMES))


def disc(radius: int) -> np.ndarray:
    """(2 radius + 1, 2 radius + 1) bool"""
    axis = np.arange(-radius, radius + 1)
    return np.asarray(axis[:, None] ** 2 + axis**2 <= radius**2)


def paste(frame: np.ndarray, skin: np.ndarray, shape: np.ndarray, x: float, y: float) -> np.ndarray:
    """Paints a shape about a point into the frame, as far as it lies in it; where: (H, W) bool."""
    where = np.zeros(frame.shape[:2], bool)
    rows, columns = np.nonzero(shape)
    down, across = rows + round(y) - shape.shape[0] // 2, columns + round(x) - shape.shape[1] // 2
    inside = (down >= 0) & (down < HEIGHT) & (across >= 0) & (across < WIDTH)
    rows, columns, down, across = (each[inside] for each in (rows, columns, down, across))
    frame[down, across] = skin[rows, columns]
    where[down, across] = True
    return where


def blurred(clip: list[tuple[np.ndarray, np.ndarray]]) -> Clip:
    """A little, as lenses do."""
    return [(cv2.GaussianBlur(frame, (3, 3), 0), mask.astype(np.uint8)) for frame, mask in clip]


SCENES = {
    "look_alikes": Scene(look_alikes, {0: (1, 2), 36: (1, 2)}),
    "thin_parts": Scene(thin_parts, {0: (1,), 20: (1,), 40: (1,)}),
    "turns": Scene(turns, {0: (1,), 28: (1,)}),
    "small": Scene(small, {0: (1,), 20: (1,), 40: (1,)}),
}

if __name__ == "__main__":
    main()
