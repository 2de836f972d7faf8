"""How the field clicks (RITM, Sofiiuk et al., ICIP 2022): always in the middle of the largest error."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from spvos_cli.video.suggest import Click


def next_click(
    truth: np.ndarray,
    predicted: np.ndarray,
    clicks: Iterable[Click] = (),
    rng: np.random.Generator | None = None,
) -> Click | None:
    """The next click on an object: the pixel furthest from the border of what is missed or of what is wrong,
    whichever is further, and where nobody clicked before. None where nothing is wrong.

    Args:
        truth, predicted: (H, W) bool.
        clicks: that were made before.
        rng: clicks somewhere in the deeper part of the errors, as people do; None: exactly on that pixel.
    """
    missed, wrong = (_depth(area, clicks) for area in (truth & ~predicted, predicted & ~truth))
    positive = bool(missed.max() > wrong.max())
    depth = missed if positive else wrong
    if not depth.max():
        return None
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    if rng is not None:
        rows, columns = np.nonzero(depth >= depth.max() * rng.uniform(0.3, 1.0))
        chosen = rng.integers(len(rows))
        y, x = rows[chosen], columns[chosen]
    return Click(int(x), int(y), positive)


def _depth(area: np.ndarray, clicks: Iterable[Click]) -> np.ndarray:
    """The distance of each pixel of an area (H, W) bool from its border, the picture's edge included; 0 where
    there is a click."""
    padded = np.pad(area.astype(np.uint8), 1)
    depth = np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 0)[1:-1, 1:-1])
    for x, y, _ in clicks:
        depth[y, x] = 0
    return depth
