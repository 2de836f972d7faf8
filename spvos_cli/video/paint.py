"""Pictures of masks: overlays and cut-outs."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

RIM = (2, 16)  # pixels around an object whose mean colours clear pixels get, those nearest first


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


def paint_overlay(image: np.ndarray, labels: np.ndarray, look: Look) -> np.ndarray:
    """The frame (H, W, 3) with every object of the label map (H, W) tinted in its colour and drawn around."""
    tinted = cv2.addWeighted(image, 1 - look.alpha, look.palette[labels], look.alpha, 0)
    result = np.where((labels > 0)[..., None], tinted, image)
    if look.contour:
        square = np.ones((2 * look.contour + 1,) * 2, np.uint8)
        line = (cv2.erode(labels, square) != cv2.dilate(labels, square)) & (labels > 0)
        result[line] = look.palette[labels[line]]
    return result


def cut_out(image: np.ndarray, labels: np.ndarray, *, rim: bool = False) -> np.ndarray:
    """The objects alone: (H, W, 4) RGBA, clear and black elsewhere.

    Args:
        rim: clear pixels near an object get its colours, for encoders that mix neighbouring colours.
    """
    solid = labels > 0
    colours = spread_colours(image, solid) if rim else image * solid[..., None]
    return np.dstack([colours, solid * np.uint8(255)])


def spread_colours(image: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """The image (H, W, 3) where a mask (H, W) is, around it the mean colour of the mask's pixels nearby, and
    black further away. Nothing of what is not in the mask is left."""
    result: np.ndarray = image * solid[..., None]
    for reach in RIM:
        size = (2 * reach + 1,) * 2
        share = cv2.blur(solid.astype(np.float32), size)
        mean = cv2.blur((image * solid[..., None]).astype(np.float32), size)
        near = (share > 1e-4) & ~result.any(axis=2) & ~solid
        result[near] = np.clip(mean[near] / share[near][:, None] + 0.5, 0, 255)
    return result


def resize_to(image: np.ndarray, width: int, height: int, interpolation: int = cv2.INTER_AREA) -> np.ndarray:
    """A picture at another frame's size; sources may change theirs on the way."""
    if image.shape[1::-1] == (width, height):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation))
