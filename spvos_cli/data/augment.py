"""Random geometry and colour for training clips: one affine map a frame, one colour matrix a frame, and for
stills thin-plate splines, which deform smoothly (STCN, Section 4.1)."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

Affine = np.ndarray  # (3, 3) float64, maps source pixels (x, y, 1) to output pixels
CONTROL = 4  # control points of a spline, a side
COARSE = 24  # a spline is evaluated on a grid of so many points a side, and interpolated


class Jitter(NamedTuple):
    """The largest deviations of a random affine map: degrees, degrees, share of the scale, share of the
    output's side."""

    rotation: float
    shear: float
    scale: float
    translation: float

    def sample(self, rng: np.random.Generator, side: int) -> Affine:
        """A map about the centre of a (side, side) output."""
        angle, shear = np.deg2rad(rng.uniform(-1, 1, 2) * (self.rotation, self.shear))
        scale = (1 + self.scale) ** rng.uniform(-1, 1)
        cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
        linear = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ [
            [1, np.tan(shear), 0],
            [0, 1, 0],
            [0, 0, 1],
        ]
        dx, dy = rng.uniform(-1, 1, 2) * self.translation * side
        affine: Affine = shift(side / 2 + dx, side / 2 + dy) @ linear @ shift(-side / 2, -side / 2)
        return affine


def shift(x: float, y: float) -> Affine:
    """Moves everything by (x, y) pixels."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], float)


def crop(center: tuple[float, float], extent: tuple[float, float], side: int, *, flip: bool) -> Affine:
    """Maps the box of the given centre and extent (width, height), in source pixels, onto a (side, side)
    output."""
    sx, sy = side / extent[0], side / extent[1]
    scale = np.diag([-sx if flip else sx, sy, 1])
    affine: Affine = shift(side / 2, side / 2) @ scale @ shift(-center[0], -center[1])
    return affine


def warp_image(image: np.ndarray, affine: Affine, side: int) -> np.ndarray:
    """(H, W, 3) -> (side, side, 3), bilinear, mirrored at the borders."""
    return cv2.warpAffine(
        image, affine[:2], (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )


def warp_mask(mask: np.ndarray, affine: Affine, side: int, *, mirror: bool = True) -> np.ndarray:
    """(H, W) ids -> (side, side), nearest, mirrored as the image is or empty outside."""
    border = cv2.BORDER_REFLECT_101 if mirror else cv2.BORDER_CONSTANT
    return cv2.warpAffine(mask, affine[:2], (side, side), flags=cv2.INTER_NEAREST, borderMode=border)


def bend(
    image: np.ndarray, ids: np.ndarray, maps: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """A frame and its ids, deformed alike."""
    border = cv2.BORDER_REFLECT_101
    return (
        cv2.remap(image, *maps, interpolation=cv2.INTER_LINEAR, borderMode=border),
        cv2.remap(ids, *maps, interpolation=cv2.INTER_NEAREST, borderMode=border),
    )


class ColourJitter(NamedTuple):
    """The largest shares by which brightness, contrast and saturation change, and how often the colour goes
    altogether."""

    brightness: float
    contrast: float
    saturation: float
    grayscale: float = 0.0

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """(3, 4): the colour matrix with its offset, for RGB in [0, 255]."""
        brightness, contrast, saturation = 1 + rng.uniform(-1, 1, 3) * self[:3]
        if rng.random() < self.grayscale:
            saturation = 0.0
        to_gray = np.tile([0.299, 0.587, 0.114], (3, 1))
        matrix = (saturation * np.eye(3) + (1 - saturation) * to_gray) * contrast * brightness
        offset = np.full((3, 1), 127.0 * (1 - contrast) * brightness)
        return np.hstack([matrix, offset])


def recolour(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Applies a (3, 4) colour matrix to an (H, W, 3) uint8 image; saturates."""
    return np.clip(cv2.transform(image.astype(np.float32), matrix), 0, 255).astype(np.uint8)


def chain(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The colour matrix that does the first and then the second."""
    full = np.vstack([first, [0, 0, 0, 1]])
    both: np.ndarray = second @ full
    return both


def random_warp(rng: np.random.Generator, side: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Maps for `cv2.remap` that deform a (side, side) image.

    Args:
        strength: standard deviation of the control points' moves, as a share of the side.

    Returns:
        Two (side, side) float32 arrays: where each output pixel comes from, x and y.
    """
    points = control_points()
    return spline_maps(points, points + rng.normal(scale=strength, size=points.shape), side)


def control_points() -> np.ndarray:
    """A grid over the unit square: (CONTROL * CONTROL, 2), x and y."""
    line = np.linspace(0, 1, CONTROL)
    return np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)


def spline_maps(points: np.ndarray, moved: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Maps for `cv2.remap`, as of `random_warp`, that take what is at `moved` to `points`, both (n, 2) in the
    unit square."""
    coarse = np.linspace(0, 1, COARSE)
    grid = np.stack(np.meshgrid(coarse, coarse), axis=-1).reshape(-1, 2)
    sources = spline(points, moved, grid).reshape(COARSE, COARSE, 2).astype(np.float32) * (side - 1)
    dense = cv2.resize(sources, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(dense[..., 0]), np.ascontiguousarray(dense[..., 1])


def spline(points: np.ndarray, values: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The thin-plate spline that takes `values` (n, 2) at `points` (n, 2), at `queries` (m, 2): (m, 2)."""
    n = len(points)
    system = np.zeros((n + 3, n + 3))
    system[:n, :n] = _kernel(points, points)
    system[:n, n:] = _affine(points)
    system[n:, :n] = _affine(points).T
    weights = np.linalg.solve(system, np.vstack([values, np.zeros((3, 2))]))
    found: np.ndarray = _kernel(queries, points) @ weights[:n] + _affine(queries) @ weights[n:]
    return found


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squared = ((a[:, None] - b) ** 2).sum(axis=2)
    values: np.ndarray = squared * np.log(squared + 1e-12)
    return values


def _affine(points: np.ndarray) -> np.ndarray:
    return np.hstack([np.ones((len(points), 1)), points])
