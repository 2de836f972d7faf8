"""Soft edges in masks: what anti-aliasing and JPEG put between objects is no object."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from spvos_cli.video.palettes import unpack

NOISE = 28  # levels in any channel that JPEG moves a flat colour by, about
REACH = 7  # side in pixels of the square in which a soft pixel looks for the objects that it lies between
BETWEEN = 0.7  # share of a value's pixels that must lie between others for it to be an edge
MANY = 64  # distinct values without a flat area from which on a file is taken for lossy once
FLAT_SHARE = 0.3  # of the pixels must lie in flat areas, else the image is no mask at all
STRANGE_SHARE = 0.25  # of the soft pixels that may be neither like solid colours nor between them


class NotAMask(ValueError):
    """Attributes: values, the number of distinct ones."""

    def __init__(self, values: int) -> None:
        super().__init__(values)
        self.values = values


class Around(NamedTuple):
    """For some pixels: the nearest in colour of the solid values close by, and whether the pixel lies between
    two of them."""

    nearest: np.ndarray
    between: np.ndarray


def harden(values: np.ndarray, *, lossy: bool, coloured: bool) -> tuple[np.ndarray, int]:
    """Gives pixels on soft edges the value of the object beside them that is nearest in colour.

    A value is solid where some 3x3 pixels all have it. One that is nowhere solid and whose pixels mostly lie
    between solid values, in place and in colour, is an edge; a thin object on one background is not. In lossy
    images whatever is close in colour to a more frequent solid value is noise as well.

    Args:
        values: (H, W) int, grey or packed RGB; 0 is the background.
        lossy: whether the file's format changes colours.
        coloured: whether values are packed RGB.

    Returns:
        The values, and how many distinct ones were merged.

    Raises:
        NotAMask: there are many values and hardly any flat area, as in a photograph, or, as in one that is
            cut out, none of the objects' own.
    """
    unique, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    index = index.reshape(values.shape)
    flat = flat_pixels(index)
    solid = np.bincount(index[flat], minlength=len(unique)) > 0
    noisy = lossy or (~solid).sum() > MANY
    if noisy and flat.mean() < FLAT_SHARE:
        raise NotAMask(len(unique))
    colours = (unpack(unique) if coloured else unique[:, None]).astype(np.float32)
    centres = _distinct(colours, counts, solid) if noisy else np.flatnonzero(solid)
    soft = ~np.isin(index, centres)
    if not soft.any() or not len(centres):
        return values, 0
    if noisy and _are_strange(colours[index[soft]], colours[centres]).mean() > STRANGE_SHARE:
        raise NotAMask(len(unique))
    around = _look_around(index, soft, colours, centres)
    merged = np.ones(len(unique), bool) if noisy else _mostly(index[soft], around.between, len(unique))
    hard, chosen = values.copy(), merged[index[soft]]
    hard[soft] = np.where(chosen, unique[around.nearest], values[soft])
    return hard, len(np.unique(index[soft][chosen]))


def flat_pixels(index: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels whose 3x3 neighbourhood has one value."""
    values, square = index.astype(np.float32), np.ones((3, 3), np.uint8)  # exact up to 2**24 values
    return np.asarray(cv2.erode(values, square) == cv2.dilate(values, square))


def _distinct(colours: np.ndarray, counts: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Indices of the solid colours, the frequent ones first, that differ from all before by more than
    noise."""
    centres: list[int] = []
    for i in np.argsort(-counts, kind="stable"):
        if solid[i] and all(np.abs(colours[i] - colours[c]).max() > NOISE for c in centres):
            centres.append(int(i))
    return np.array(centres, int)


def _are_strange(own: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Which of some colours (N, C) are neither like solid ones nor between them."""
    low, high = solid.min(axis=0) - 2 * NOISE, solid.max(axis=0) + 2 * NOISE
    return np.asarray(((own < low) | (own > high)).any(axis=1))


def _look_around(index: np.ndarray, soft: np.ndarray, colours: np.ndarray, centres: np.ndarray) -> Around:
    own = colours[index[soft]]
    best = np.full(len(own), np.inf)
    nearest = np.zeros(len(own), int)
    low, high = np.full_like(own, np.inf), np.full_like(own, -np.inf)
    close_by = np.zeros(len(own), int)
    square = np.ones((REACH, REACH), np.uint8)
    for centre in centres:
        near = cv2.dilate((index == centre).view(np.uint8), square)[soft] > 0
        distance = np.abs(own - colours[centre]).max(axis=1) + np.where(
            near, 0, 1000
        )  # far ones only at need
        nearest[distance < best] = centre
        best = np.minimum(best, distance)
        close_by += near
        low = np.where(near[:, None], np.minimum(low, colours[centre]), low)
        high = np.where(near[:, None], np.maximum(high, colours[centre]), high)
    return Around(nearest, (close_by > 1) & ((low <= own) & (own <= high)).all(axis=1))


def _mostly(index: np.ndarray, between: np.ndarray, count: int) -> np.ndarray:
    """(count,) bool: the values most of whose pixels lie between others."""
    pixels = np.bincount(index, minlength=count)
    return np.bincount(index, weights=between, minlength=count) >= BETWEEN * np.maximum(pixels, 1)
