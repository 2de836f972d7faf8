"""How many lines of a frame the network sees: more than asked for where it would see little of an object."""

from __future__ import annotations

import cv2
import numpy as np

LENGTH = 192  # pixels of the network's: the longer side that an object needs not be enlarged from
MOST = 2.25  # times as many lines: an object that is out of sight is looked for in whole frames


def lines_for(mask: np.ndarray, ids: list[int], size: int) -> int:
    """The short side, in pixels, of the frames that the network shall see: `size`, or as many more that the
    smallest of the objects is `LENGTH` long, `MOST` times as many at most. A window about it costs no more
    then, for windows have a least size.

    Args:
        mask: (H, W) ids.
        ids: of the objects, which are in the mask.
        size: asked for, in pixels.
    """
    short = min(mask.shape)
    if short <= size:
        return size
    smallest = min(max(cv2.boundingRect((mask == i).view(np.uint8))[2:]) for i in ids)
    return round(size * min(max(1.0, LENGTH / (smallest * size / short)), MOST))
