"""The colours of label maps: PASCAL VOC's palette, which DAVIS uses."""

from __future__ import annotations

import numpy as np


def voc_palette() -> np.ndarray:
    """(256, 3) uint8: the bits of an id, three at a time, from the high bits of red, green and blue down."""
    palette = np.zeros((256, 3), np.uint8)
    ids = np.arange(256, dtype=np.uint8)
    for bit in range(7, -1, -1):
        for channel in range(3):
            palette[:, channel] |= ((ids >> channel) & 1) << bit
        ids = ids >> 3
    return palette
