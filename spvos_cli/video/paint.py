"""Pictures of masks: overlays and cut-outs."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

VALUES = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)
RIM = (2, 16)  # pixels: from so far clear pixels get the mean colour of an object


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
    left, top, width, height = cv2.boundingRect((labels > 0).view(np.uint8))
    result, edge = image.copy(), look.contour  # only about the objects is there anything to do
    rows = slice(max(0, top - edge), top + height + edge)
    columns = slice(max(0, left - edge), left + width + edge)
    if width:
        result[rows, columns] = _painted(image[rows, columns], labels[rows, columns], look)
    return result


def _painted(image: np.ndarray, labels: np.ndarray, look: Look) -> np.ndarray:
    result = image.copy()
    ids = np.flatnonzero(cv2.calcHist([labels], [0], None, [256], [0, 256]).ravel()[1:]) + 1
    for i in ids:  # a table of what each value becomes is faster than arithmetic with all of them
        values = cv2.addWeighted(VALUES, 1 - look.alpha, np.tile(look.palette[i], (256, 1)), look.alpha, 0)
        mask = cv2.inRange(labels, int(i), int(i))
        result = cv2.copyTo(cv2.LUT(image, values[:, None]), mask, result)
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
    solid = (labels > 0).view(np.uint8)
    colours = cv2.bitwise_and(image, image, mask=solid)
    if rim:
        spread_colours(colours, solid)
    result = np.asarray(cv2.cvtColor(colours, cv2.COLOR_RGB2RGBA))
    result[..., 3] = solid * np.uint8(255)
    return result


def spread_colours(image: np.ndarray, solid: np.ndarray) -> None:
    """Gives pixels around a mask the mean colour of the mask's pixels nearby, in place.

    Args:
        image: (H, W, 3) uint8, black outside of the mask; what is far from it stays so.
        solid: (H, W) uint8, 1 in the mask.
    """
    left, top, width, height = cv2.boundingRect(solid)
    margin = max(RIM) + 1
    about = np.s_[max(0, top - margin) : top + height + margin, max(0, left - margin) : left + width + margin]
    image, solid = image[about], solid[about]
    inside = image.copy()
    for reach in sorted(RIM, reverse=True):  # what is nearest holds
        size = (2 * reach + 1,) * 2
        count = cv2.boxFilter(solid, cv2.CV_32F, size, normalize=False)
        total = cv2.boxFilter(inside, cv2.CV_32F, size, normalize=False)
        mean = cv2.convertScaleAbs(total / np.maximum(count, 1)[..., None])
        near = ((count > 0) & (solid == 0)).view(np.uint8)
        cv2.copyTo(mean, near, image)


def resize_to(image: np.ndarray, width: int, height: int, interpolation: int = cv2.INTER_AREA) -> np.ndarray:
    """A picture at another frame's size; sources may change theirs on the way."""
    if image.shape[1::-1] == (width, height):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation))
