"""A rendered clip with known masks: for the demo, and where a network has to see something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

WIDTH, HEIGHT, FRAMES, RATE = 640, 360, 48, 24
ALONG = np.linspace(1, -1.5, 60)  # from a fish's nose to the end of its tail, in half lengths of its body
LENGTH, THICKNESS = 78, 50  # of half a body, in pixels
MARGIN = 120  # of the ground around the first frame, in pixels


class Fish(NamedTuple):
    """How one looks.

    Attributes:
        colour, tail: RGB.
        stripes: where they begin and end, as in ALONG.
        leftwards: whether it swims to the left.
    """

    colour: tuple[int, int, int]
    tail: tuple[int, int, int]
    stripes: tuple[tuple[float, float], ...]
    leftwards: bool


SHOAL = (
    Fish((240, 125, 25), (240, 150, 40), ((0.6, 0.4), (0.0, -0.25), (-0.75, -0.9)), leftwards=False),
    Fish((205, 60, 150), (250, 205, 40), ((-0.1, -0.2), (-0.4, -0.5)), leftwards=True),
)


def scene() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Frames (H, W, 3) and label maps: two fish that swim past each other over a reef, the second in
    front."""
    rng = np.random.default_rng(4)
    ground = reef(rng)
    skins = [texture(rng, (HEIGHT, WIDTH), 7, (0, 0, 0)).astype(int) // 2 for _ in SHOAL]
    for t in np.linspace(0, 1, FRAMES):
        x, y = round(240 * t), round(40 + 40 * np.sin(4 * t))
        image = ground[y : y + HEIGHT, x : x + WIDTH].copy()
        labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        for i, fish in enumerate(SHOAL):
            outline = outline_at(t, leftwards=fish.leftwards)
            mask = cv2.fillPoly(np.zeros_like(labels), [outline], 1, cv2.LINE_8).astype(bool)
            drawn = image.copy()
            draw(drawn, outline, fish)
            dx, dy = outline.mean(axis=0).astype(int) - (WIDTH // 2, HEIGHT // 2)
            scales = np.roll(skins[i], (dy, dx), (0, 1))[mask]
            image[mask] = np.clip(drawn[mask] + scales, 0, 255)
            labels[mask] = i + 1
        yield cv2.GaussianBlur(image, (3, 3), 0), labels


def outline_at(t: float, *, leftwards: bool) -> np.ndarray:
    """The outline (120, 2) int32, in pixels, of a fish at time t in [0, 1]: its back from nose to tail, then
    its belly to the nose."""
    body = np.sqrt(np.clip(1 - ALONG**2, 0, None)) * (0.75 + 0.25 * ALONG)
    tail = np.clip(-ALONG - 0.8, 0, None) * 0.95
    fin = 0.28 * np.exp(-(((ALONG + 0.1) / 0.35) ** 2))
    notch = 0.35 * np.clip(-ALONG - 1.2, 0, None)
    bend = 0.3 * np.clip(0.4 - ALONG, 0, None) ** 2 * np.sin(16 * t + 2 * leftwards)
    back = np.stack([ALONG + notch, np.maximum(body, tail) + fin - bend], axis=1)
    belly = np.stack([ALONG + notch, -np.maximum(body, tail) - 0.6 * fin - bend], axis=1)
    points = np.concatenate([back, belly[::-1]]) * (LENGTH, -THICKNESS)
    turn = 0.25 * np.cos(5 * t + leftwards)
    if leftwards:
        points[:, 0] *= -1
    turned = points @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    along = 135 + 370 * (1 - t if leftwards else t)
    across = HEIGHT / 2 + (35 if leftwards else -35) * np.cos(2.5 * t) + 20 * np.sin(9 * t + 2 * leftwards)
    pixels: np.ndarray = (turned + np.array([along, across])).round().astype(np.int32)
    return pixels


def draw(image: np.ndarray, outline: np.ndarray, fish: Fish) -> None:
    """Paints a fish, in place; what goes beyond its outline does not count."""
    back, belly = outline[: len(ALONG)], outline[len(ALONG) :][::-1]

    def fill(start: float, end: float, colour: tuple[int, int, int]) -> None:
        part = (start >= ALONG) & (end <= ALONG)
        cv2.fillPoly(image, [np.concatenate([back[part], belly[part][::-1]])], colour)

    fill(9, -9, fish.colour)
    fill(-0.85, -9, fish.tail)
    for start, end in fish.stripes:
        fill(start + 0.07, end - 0.07, (25, 25, 30))
        fill(start, end, (245, 245, 240))
    cv2.polylines(image, [back], False, tuple(int(0.6 * value) for value in fish.colour), 3, cv2.LINE_AA)
    place = 6  # of the eye, in ALONG
    eye = (0.68 * back[place] + 0.32 * belly[place]).round().astype(int)
    cv2.circle(image, eye.tolist(), 7, (250, 250, 250), -1, cv2.LINE_AA)
    cv2.circle(image, eye.tolist(), 4, (15, 15, 20), -1, cv2.LINE_AA)


def reef(rng: np.random.Generator) -> np.ndarray:
    """Water that gets darker with depth, weeds and stones on sand: (H + 80, W + 240, 3) uint8."""
    height, width = HEIGHT + 80, WIDTH + 2 * MARGIN
    depth = np.linspace(0, 1, height)[:, None, None]
    ground = (1 - depth) * (95, 190, 205) + depth * (15, 70, 120)
    ground = np.clip(ground + texture(rng, (height, width), 24, (128, 128, 128)) / 3.0 - 43, 0, 255)
    ground = np.ascontiguousarray(ground.astype(np.uint8))
    sand = pebbles(rng, (height, width), 5, (205, 180, 135))
    x = np.arange(width)
    top = height - 75 + 14 * np.sin(x / 60) + 7 * np.sin(x / 23)
    below = np.arange(height)[:, None] > top
    ground[below] = sand[below]
    for root in rng.integers(0, width, 26):
        length, sway, colour = rng.integers(50, 150), rng.normal(), rng.integers((20, 90, 30), (90, 160, 80))
        rise = np.linspace(0, 1, 20)
        stem = np.stack([root + 14 * np.sin(5 * rise + sway), top[root] + 8 - length * rise], axis=1)
        cv2.polylines(ground, [stem.astype(np.int32)], False, colour.tolist(), 5, cv2.LINE_AA)
    stone = pebbles(rng, (height, width), 8, (105, 100, 110))
    for root in rng.integers(0, width, 14):
        size, middle = rng.integers((18, 12), (60, 34)).tolist(), (int(root), int(top[root]) + 12)
        mask = cv2.ellipse(np.zeros((height, width), np.uint8), middle, size, 0, 0, 360, 1, -1) > 0
        ground[mask] = stone[mask]
    return ground


def pebbles(
    rng: np.random.Generator, shape: tuple[int, int], grain: int, colour: tuple[int, int, int]
) -> np.ndarray:
    """A colour that is lighter and darker here and there, (H, W, 3) uint8; grain in pixels."""
    light = texture(rng, shape, grain, (128, 128, 128)).mean(axis=2, keepdims=True) / 128
    coloured: np.ndarray = np.clip(light * colour, 0, 255).astype(np.uint8)
    return coloured


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
