"""Overlays, painted only where there are objects, against the plain way."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from spvos_cli.video.paint import Look, paint_overlay
from spvos_cli.video.palettes import overlay_colours, voc_palette


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
    colours = overlay_colours(look.palette)
    expected = cv2.addWeighted(image, 0.7, colours[labels], 0.3, 0)
    expected[labels == 0] = image[labels == 0]
    square = np.ones((2 * contour + 1,) * 2, np.uint8)
    line = (cv2.erode(labels, square) != cv2.dilate(labels, square)) & (labels > 0)
    expected[line] = (colours[labels[line]].astype(int) + 256) // 2
    assert np.array_equal(paint_overlay(image, labels, look), expected)


def test_colours_are_bright_and_differ_but_chosen_ones_stay() -> None:
    colours = overlay_colours(voc_palette())[1:].astype(int)
    assert colours[:16].max(axis=1).min() >= 140
    distances = np.abs(colours[:, None] - colours[None]).max(axis=2) + 999 * np.eye(255, dtype=int)
    assert distances[:63, :63].min() >= 40
    assert distances.min() > 0
    chosen = voc_palette()
    chosen[2] = 1, 2, 3
    assert overlay_colours(chosen)[[1, 2]].tolist() == [[240, 16, 16], [1, 2, 3]]


def test_lines_are_as_wide_as_frames_are_large() -> None:
    assert [Look(voc_palette()).line(*size) for size in ((480, 854), (1920, 1080), (96, 128))] == [2, 4, 1]
    assert Look(voc_palette(), contour=0).line(480, 854) == 0


@pytest.mark.parametrize("corner", [(0, 0), (0, 170), (80, 60), (90, 190)])
def test_names_are_written_where_there_is_room(corner: tuple[int, int]) -> None:
    image, labels = np.full((100, 200, 3), 90, np.uint8), np.zeros((100, 200), np.uint8)
    top, left = corner
    labels[top : top + 8, left : left + 9] = 3
    plain, *written = (
        paint_overlay(image, labels, Look(voc_palette(), names=names))
        for names in (
            None,
            {},
            {3: "a name that is far longer than a frame"},
            {3: "Sven Ö"},
        )
    )
    for picture in written:
        y, x = np.nonzero((picture != plain).any(axis=2))
        assert 4 < len(y) < 6000
        assert abs(y.mean() - top) < 20
        assert (picture[y, x] > 200).all(axis=1).any()
        assert (picture[y, x] < 20).all(axis=1).any()
    assert not np.array_equal(written[0], written[2])
