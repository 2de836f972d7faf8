"""What the report shows of a frame."""

from __future__ import annotations

import numpy as np

from spvos_cli.evaluation.report.pictures import FALSE, MISSED, paint_errors


def test_errors_have_their_colours_and_truth_a_line() -> None:
    image = np.full((60, 80, 3), 100, np.uint8)
    true, found = np.zeros((60, 80), bool), np.zeros((60, 80), bool)
    true[10:50, 10:50], found[10:50, 30:70] = True, True
    shown = paint_errors(image, true, found)
    missed, false = (tuple(int(0.3 * 100 + 0.7 * value) for value in colour) for colour in (MISSED, FALSE))
    assert (shown[15:45, 15:28] == missed).all()
    assert (shown[15:45, 52:68] == false).all()
    assert (shown[15:45, 32:48] == 100).all()
    assert (shown[20:40, 10] == 255).all()
    assert (shown[:8] == 100).all()
    assert np.array_equal(paint_errors(image, true & False, true & False), image)
