"""Soft edges of cut-outs: how much of a pixel belongs to the objects."""

from __future__ import annotations

import cv2
import numpy as np

BAND = 1.0  # pixels of the network's picture, to either side of an edge, in which alpha is between 0 and 255
HALF = 128  # alpha from which on the label map has an object


def soft_alpha(labels: np.ndarray, soft: np.ndarray | None) -> np.ndarray:
    """How much of each pixel belongs to any of the objects: (H, W) uint8, 255 all of it.

    In a narrow band about the edges of the label map it is the network's probability, beyond that 0 or 255,
    and there is no jump between. Cut at `HALF` it is the label map again.

    Args:
        labels: (H, W) uint8 ids.
        soft: (K, h, w) float32 probabilities of the objects, at the network's size; None where they are not
            known: then edges are as soft as those of a mask that was drawn finer.
    """
    result = np.where(labels > 0, np.uint8(255), np.uint8(0))
    scale = 1.0 if soft is None else max(1.0, labels.shape[0] / soft.shape[1])
    band = BAND * scale
    left, top, width, height = cv2.boundingRect(result)
    if not width:
        return result
    margin = int(band) + 2
    rows = slice(max(0, top - margin), top + height + margin)
    columns = slice(max(0, left - margin), left + width + margin)
    solid = result[rows, columns]
    if soft is None:
        sure = cv2.GaussianBlur(solid.astype(np.float32) / 255, (0, 0), band / 2)
    else:
        sure = cv2.resize(soft.sum(axis=0), labels.shape[::-1], interpolation=cv2.INTER_LINEAR)[rows, columns]
    square = np.ones((2 * margin + 1,) * 2, np.uint8)
    near = np.nonzero(cv2.dilate(solid, square) != cv2.erode(solid, square))
    inner, outer = (
        cv2.distanceTransform(side, cv2.DIST_L2, cv2.DIST_MASK_3)[near] - 0.5 for side in (solid, 255 - solid)
    )  # to the edge, in pixels
    inside = solid[near] > 0
    least = np.where(inside, np.maximum(255 * inner / band, HALF), 0)
    most = np.where(inside, 255, np.clip(255 * (1 - outer / band), 0, HALF - 1))
    solid[near] = np.clip(255 * sure[near], least, most).round()
    return result
