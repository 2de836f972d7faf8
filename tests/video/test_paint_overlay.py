"""Overlays, painted only where there are objects, against the plain way."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from spvos_cli.video.paint import Look, paint_overlay
from spvos_cli.video.palettes import voc_palette

BOXES = [(0, 0, 0, 0), (0, 0, 40, 50), (12, 9, 13, 10), (0, 20, 9, 50), (30, 41, 40, 50)]


@pytest.mark.parametrize("contour", [0, 1, 4])
@pytest.mark.parametrize(
    "box", [(0, 0, 0, 0), (0, 0, 40, 50), (12, 9, 13, 10), (0, 20, 9, 50), (30, 41, 40, 50)]
)
def test_the_same_as_over_the_whole_frame(contour: int, box: tuple[int, int, int, int]) -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (40, 50, 3), np.uint8)
    labels = np.zeros((40, 50), np.uint8)
    top, left, bottom, right = box
    labels[top:bottom, left:right] = random.integers(0, 3, (bottom - top, right - left), np.uint8)
    look = Look(voc_palette(), 0.3, contour)
    expected = cv2.addWeighted(image, 0.7, look.palette[labels], 0.3, 0)
    expected[labels == 0] = image[labels == 0]
    square = np.ones((2 * contour + 1,) * 2, np.uint8)
    line = (cv2.erode(labels, square) != cv2.dilate(labels, square)) & (labels > 0)
    expected[line] = look.palette[labels[line]]
    assert np.array_equal(paint_overlay(image, labels, look), expected)
