"""Thin-plate splines: smooth random deformation, for clips made of one still (STCN, Section 4.1)."""

from __future__ import annotations

import cv2
import numpy as np

CONTROL = 4  # control points a side
COARSE = 24  # the spline is evaluated on a grid of so many points a side, and interpolated


def random_warp(rng: np.random.Generator, side: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Maps for `cv2.remap` that deform a (side, side) image.

    Args:
        strength: standard deviation of the control points' moves, as a share of the side.

    Returns:
        Two (side, side) float32 arrays: where each output pixel comes from, x and y.
    """
    line = np.linspace(0, 1, CONTROL)
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    moved = points + rng.normal(scale=strength, size=points.shape)
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
    return _kernel(queries, points) @ weights[:n] + _affine(queries) @ weights[n:]


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squared = ((a[:, None] - b) ** 2).sum(axis=2)
    return squared * np.log(squared + 1e-12)


def _affine(points: np.ndarray) -> np.ndarray:
    return np.hstack([np.ones((len(points), 1)), points])
