"""J and F of the DAVIS benchmark (Perazzi et al., CVPR 2016), equal to the official tool's to the last
digit."""

from __future__ import annotations

import math

import cv2
import numpy as np

BOUND = 0.008  # of the image diagonal: how far apart two boundaries may be and still match


def region_similarity(predicted: np.ndarray, truth: np.ndarray) -> float:
    """J: intersection over union of two (H, W) bool masks; 1 where both are empty."""
    union = np.count_nonzero(predicted | truth)
    return np.count_nonzero(predicted & truth) / union if union else 1.0


def contour_accuracy(predicted: np.ndarray, truth: np.ndarray) -> float:
    """F: harmonic mean of precision and recall of the boundary of two (H, W) bool masks.

    Only the box around both masks and a margin of one pixel are looked at: outside are no boundaries.
    """
    radius = math.ceil(BOUND * math.hypot(*truth.shape))
    box = _joint_box(predicted | truth)
    if box is None:
        return 1.0
    edges, truth_edges = boundary(predicted[box]), boundary(truth[box])
    count, truth_count = np.count_nonzero(edges), np.count_nonzero(truth_edges)
    if count == 0 or truth_count == 0:
        return 1.0 if count == truth_count else 0.0
    disk = _disk(radius)
    precision = np.count_nonzero(edges & cv2.dilate(truth_edges, disk)) / count
    recall = np.count_nonzero(truth_edges & cv2.dilate(edges, disk)) / truth_count
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary(mask: np.ndarray) -> np.ndarray:
    """Pixels whose right, lower or lower right neighbour differs, as the official tool has it at the last row
    and column.

    (H, W) bool -> (H, W) uint8 of 0 and 1.
    """
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    edges = (mask ^ padded[:-1, 1:]) | (mask ^ padded[1:, :-1]) | (mask ^ padded[1:, 1:])
    return edges.astype(np.uint8)


def _joint_box(mask: np.ndarray) -> tuple[slice, slice] | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    bottom, right = min(rows[-1] + 2, mask.shape[0]), min(columns[-1] + 2, mask.shape[1])
    return slice(max(rows[0] - 1, 0), bottom), slice(max(columns[0] - 1, 0), right)


def _disk(radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return (x * x + y * y <= radius * radius).astype(np.uint8)
