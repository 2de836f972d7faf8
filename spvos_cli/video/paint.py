"""Pictures of masks: overlays and cut-outs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np

from spvos_cli.video.captions import write_captions
from spvos_cli.video.palettes import overlay_colours

VALUES = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)
LINE_SHARE = 240  # of a frame's shorter side: 2 pixels at 480 lines
RIM = (2, 16)  # pixels: from so far clear pixels get the mean colour of an object


class Look(NamedTuple):
    """How masks and overlays are painted.

    Attributes:
        palette: (256, 3) uint8, the colours of the ids in masks; overlays have brighter ones in the place of
            DAVIS's.
        alpha: how much of the colour covers an object, 0 to 1.
        contour: width in pixels of the light line around each object, 0 for none; None for one in proportion
            to the frame.
        names: of objects by id, which are written beside them; None writes nothing.
    """

    palette: np.ndarray
    alpha: float = 0.5
    contour: int | None = None
    names: Mapping[int, str] | None = None

    def line(self, height: int, width: int) -> int:
        """The width of lines in a frame of this size."""
        return max(1, round(min(height, width) / LINE_SHARE)) if self.contour is None else self.contour


def paint_overlay(image: np.ndarray, labels: np.ndarray, look: Look) -> np.ndarray:
    """The frame (H, W, 3) with every object of the label map (H, W) tinted in its colour and drawn around."""
    left, top, width, height = cv2.boundingRect((labels > 0).view(np.uint8))
    result, edge = image.copy(), look.line(*labels.shape)  # only about the objects is there anything to do
    rows = slice(max(0, top - edge), top + height + edge)
    columns = slice(max(0, left - edge), left + width + edge)
    if width:
        result[rows, columns] = _painted(image[rows, columns], labels[rows, columns], look, edge)
    if width and look.names is not None:
        write_captions(result, labels, look.names)
    return result


def _painted(image: np.ndarray, labels: np.ndarray, look: Look, edge: int) -> np.ndarray:
    result, colours = image.copy(), overlay_colours(look.palette)
    ids = np.flatnonzero(cv2.calcHist([labels], [0], None, [256], [0, 256]).ravel()[1:]) + 1
    for i in ids:  # a table of what each value becomes is faster than arithmetic with all of them
        values = cv2.addWeighted(VALUES, 1 - look.alpha, np.tile(colours[i], (256, 1)), look.alpha, 0)
        mask = cv2.inRange(labels, int(i), int(i))
        result = cv2.copyTo(cv2.LUT(image, values[:, None]), mask, result)
    if edge:
        square = np.ones((2 * edge + 1,) * 2, np.uint8)
        line = (cv2.erode(labels, square) != cv2.dilate(labels, square)) & (labels > 0)
        light = 255 - (255 - colours) // 2
        result[line] = light[labels[line]]
    return result


def cut_out(image: np.ndarray, alpha: np.ndarray, *, rim: bool = False) -> np.ndarray:
    """The objects alone: (H, W, 4) RGBA, not premultiplied, clear and black elsewhere.

    Pixels that belong to an object in part get as much of its mean colour nearby as is not theirs, so that
    little of the ground shines through.

    Args:
        alpha: (H, W) uint8, 255 where a pixel is an object's.
        rim: clear pixels near an object get its colours, for encoders that mix neighbouring colours.
    """
    seen = cv2.inRange(alpha, 1, 255)
    colours = cv2.bitwise_and(image, image, mask=seen)
    sure = cv2.inRange(alpha, 255, 255)
    spread_colours(colours, np.minimum(sure if sure.any() else seen, np.uint8(1)))
    partly = np.nonzero(cv2.inRange(alpha, 1, 254))
    share = alpha[partly][:, None] / np.float32(255)
    colours[partly] = share * image[partly] + (1 - share) * colours[partly]
    if not rim:
        colours = cv2.bitwise_and(colours, colours, mask=seen)
    return np.asarray(cv2.merge([*cv2.split(colours), alpha]))


def spread_colours(image: np.ndarray, solid: np.ndarray) -> None:
    """Gives pixels around a mask the mean colour of the mask's pixels nearby, in place.

    Args:
        image: (H, W, 3) uint8; what is far from the mask stays as it is.
        solid: (H, W) uint8, 1 in the mask.
    """
    left, top, width, height = cv2.boundingRect(solid)
    margin = max(RIM) + 1
    about = np.s_[max(0, top - margin) : top + height + margin, max(0, left - margin) : left + width + margin]
    image, solid = image[about], solid[about]
    channels = cv2.split(cv2.bitwise_and(image, image, mask=solid))  # faster than all at once below
    for reach in sorted(RIM, reverse=True):  # what is nearest holds
        count, *totals = (
            cv2.boxFilter(x, cv2.CV_32F, (2 * reach + 1,) * 2, normalize=False) for x in (solid, *channels)
        )
        near = np.nonzero((count > 0) & (solid == 0))
        image[near] = np.stack([total[near] / count[near] for total in totals], axis=1).round()


def resize_to(image: np.ndarray, width: int, height: int, interpolation: int = cv2.INTER_AREA) -> np.ndarray:
    """A picture at another frame's size; sources may change theirs on the way."""
    if image.shape[1::-1] == (width, height):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation))
