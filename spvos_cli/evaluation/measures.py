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
    """F: harmonic mean of precision and recall of the boundary of two (H, W) bool masks."""
    return similarity_and_accuracy(predicted, truth)[1]


def similarity_and_accuracy(predicted: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """J and F of two (H, W) bool masks.

    Only the box around both masks and a margin of one pixel are looked at: outside are neither areas nor
    boundaries.
    """
    box = _joint_box(predicted | truth)
    if box is None:
        return 1.0, 1.0
    radius = math.ceil(BOUND * math.hypot(*truth.shape))
    predicted, truth = predicted[box], truth[box]
    return region_similarity(predicted, truth), _boundary_match(boundary(predicted), boundary(truth), radius)


def boundary(mask: np.ndarray) -> np.ndarray:
    """Pixels whose right, lower or lower right neighbour differs, as the official tool has it at the last row
    and column.

    (H, W) bool -> (H, W) uint8 of 0 and 1.
    """
    block = np.ones((2, 2), np.uint8)  # a pixel and those three: they differ where their extremes do
    pixels = mask.astype(np.uint8)
    return cv2.morphologyEx(pixels, cv2.MORPH_GRADIENT, block, anchor=(0, 0), borderType=cv2.BORDER_REPLICATE)


def _boundary_match(edges: np.ndarray, truth_edges: np.ndarray, radius: int) -> float:
    bits, truth_bits = _as_bits(edges, radius), _as_bits(truth_edges, radius)
    count, truth_count = bits.bit_count(), truth_bits.bit_count()
    if count == 0 or truth_count == 0:
        return 1.0 if count == truth_count else 0.0
    stride = edges.shape[1] + radius
    precision = (bits & _dilated(truth_bits, stride, radius)).bit_count() / count
    recall = (truth_bits & _dilated(bits, stride, radius)).bit_count() / truth_count
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _as_bits(mask: np.ndarray, margin: int) -> int:
    """All pixels as one number, each row followed by an empty margin: a shift moves the whole mask."""
    return int.from_bytes(np.packbits(np.pad(mask, ((0, 0), (0, margin)))).tobytes(), "big")


def _dilated(bits: int, stride: int, radius: int) -> int:
    """By a disk, from its narrowest rows to its widest. Margins fill as well, which their owner ignores.

    Twice as fast as a dilation of bytes, and more so the larger the box.
    """
    run, width, dilated = bits, 0, 0
    for dy in range(radius, -1, -1):
        while (width + 1) ** 2 + dy**2 <= radius**2:
            width += 1
            run |= bits << width | bits >> width
        dilated |= run << dy * stride | run >> dy * stride
    return dilated


def _joint_box(mask: np.ndarray) -> tuple[slice, slice] | None:
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    bottom, right = min(rows[-1] + 2, mask.shape[0]), min(columns[-1] + 2, mask.shape[1])
    return slice(max(rows[0] - 1, 0), bottom), slice(max(columns[0] - 1, 0), right)
