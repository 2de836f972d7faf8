"""Pictures of masks: overlays and cut-outs."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np


class Look(NamedTuple):
    """How overlays are painted.

    Attributes:
        palette: (256, 3) uint8, the colours of the ids.
        alpha: how much of the colour covers an object, 0 to 1.
        contour: width in pixels of the line around each object, 0 for none.
    """

    palette: np.ndarray
    alpha: float = 0.5
    contour: int = 1


def overlay(image: np.ndarray, labels: np.ndarray, look: Look) -> np.ndarray:
    """The frame (H, W, 3) with every object of the label map (H, W) tinted in its colour and drawn around."""
    tinted = cv2.addWeighted(image, 1 - look.alpha, look.palette[labels], look.alpha, 0)
    result = np.where((labels > 0)[..., None], tinted, image)
    if look.contour:
        square = np.ones((2 * look.contour + 1,) * 2, np.uint8)
        line = (cv2.erode(labels, square) != cv2.dilate(labels, square)) & (labels > 0)
        result[line] = look.palette[labels[line]]
    return result


def cutout(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The objects alone: (H, W, 4) RGBA, clear and black elsewhere."""
    solid = labels > 0
    return np.dstack([image * solid[..., None], solid * np.uint8(255)])


def fitted(image: np.ndarray, width: int, height: int, interpolation: int = cv2.INTER_AREA) -> np.ndarray:
    """A picture at another frame's size; sources may change theirs on the way."""
    if image.shape[1::-1] == (width, height):
        return image
    return cv2.resize(image, (width, height), interpolation=interpolation)
