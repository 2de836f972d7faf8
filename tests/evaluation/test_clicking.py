"""Clicks as the field makes them: in the middle of the largest error."""

from __future__ import annotations

import numpy as np
import pytest

from spvos_cli.evaluation.clicking import next_click
from spvos_cli.video.suggest import Click


def square(left: int, top: int, side: int) -> np.ndarray:
    mask = np.zeros((40, 60), bool)
    mask[top : top + side, left : left + side] = True
    return mask


@pytest.mark.parametrize(
    ("truth", "predicted", "click"),
    [
        (square(10, 10, 9), square(0, 0, 0), Click(14, 14)),
        (square(10, 10, 9), square(10, 10, 9) | square(40, 20, 7), Click(43, 23, False)),
        (square(10, 10, 9), square(40, 20, 7), Click(14, 14)),  # missed is deeper than wrong
        (square(0, 0, 9), square(0, 0, 0), Click(4, 4)),  # the picture's edge is a border
        (square(10, 10, 9) | square(40, 10, 3), square(10, 10, 9), Click(41, 11)),
    ],
)
def test_the_middle_of_the_largest_error(truth: np.ndarray, predicted: np.ndarray, click: Click) -> None:
    assert next_click(truth, predicted) == click


def test_nobody_clicks_twice_in_one_place() -> None:
    truth, nothing = square(10, 10, 9), square(0, 0, 0)
    first = next_click(truth, nothing)
    assert first
    second = next_click(truth, nothing, [first])
    assert second
    assert second != first
    assert truth[second.y, second.x]


def test_where_nothing_is_wrong_there_is_no_click() -> None:
    assert next_click(square(10, 10, 9), square(10, 10, 9)) is None
    one = square(10, 10, 1)
    assert next_click(one, square(0, 0, 0), [Click(10, 10)]) is None


def test_people_click_about_the_middle() -> None:
    rng = np.random.default_rng(0)
    truth = square(10, 10, 15)
    clicks = {next_click(truth, square(0, 0, 0), rng=rng) for _ in range(40)}
    assert len(clicks) > 20
    assert all(click and truth[click.y, click.x] and click.positive for click in clicks)
