"""A rendered clip with known masks: for the demo, and where a network has to see something."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

WIDTH, HEIGHT, FRAMES, RATE = 640, 360, 48, 24
ANGLES = np.linspace(0, 2 * np.pi, 90, endpoint=False)


def scene() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Frames (H, W, 3) and label maps: two textured blobs that change shape and cross, the second in
    front."""
    rng = np.random.default_rng(4)
    ground = texture(rng, (HEIGHT + 80, WIDTH + 240), 24, (70, 105, 80))
    skins = [
        texture(rng, (HEIGHT, WIDTH), 7, (215, 120, 40)),
        texture(rng, (HEIGHT, WIDTH), 10, (60, 90, 215)),
    ]
    for t in np.linspace(0, 1, FRAMES):
        x, y = round(240 * t), round(40 + 40 * np.sin(4 * t))
        image = ground[y : y + HEIGHT, x : x + WIDTH].copy()
        labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        for i, skin in enumerate(skins):
            outline = blob(t, leftwards=bool(i))
            mask = cv2.fillPoly(np.zeros_like(labels), [outline], 1, cv2.LINE_8).astype(bool)
            dx, dy = outline.mean(axis=0).astype(int) - (WIDTH // 2, HEIGHT // 2)
            image[mask] = np.roll(skin, (dy, dx), (0, 1))[mask]
            labels[mask] = i + 1
        yield cv2.GaussianBlur(image, (3, 3), 0), labels


def blob(t: float, *, leftwards: bool) -> np.ndarray:
    """The outline (90, 2) int32, in pixels, of one object at time t in [0, 1]."""
    radius = 62 + 14 * np.sin(3 * ANGLES + 5 * t + leftwards) + 9 * np.sin(5 * ANGLES - 7 * t)
    along = 110 + 420 * (1 - t if leftwards else t)
    across = HEIGHT / 2 + (45 if leftwards else -45) * np.cos(2.5 * t) + 20 * np.sin(9 * t + 2 * leftwards)
    turn = ANGLES + (1.5 if leftwards else -1.2) * t
    points = np.stack([along + 1.15 * radius * np.cos(turn), across + 0.85 * radius * np.sin(turn)], axis=1)
    pixels: np.ndarray = points.round().astype(np.int32)
    return pixels


def texture(
    rng: np.random.Generator, shape: tuple[int, int], grain: int, colour: tuple[int, int, int]
) -> np.ndarray:
    """Smooth coloured noise about a colour, (H, W, 3) uint8; grain in pixels."""
    height, width = shape
    noise = np.zeros((height, width, 3), np.float32)
    for size, strength in ((grain, 45), (3 * grain, 35)):
        coarse = rng.normal(size=(height // size + 2, width // size + 2, 3)).astype(np.float32)
        noise += strength * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    coloured: np.ndarray = np.clip(noise + colour, 0, 255).astype(np.uint8)
    return coloured
