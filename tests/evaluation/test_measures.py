"""J and F against the official tool's output."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spvos_cli.evaluation.measures import contour_accuracy, region_similarity
from spvos_cli.evaluation.scores import statistics
from tests.oracles.weights import HERE

TOLERANCE = 1e-9
FORMULAS = json.loads((HERE / "jf.json").read_text())


def oracle_pairs() -> list[tuple[np.ndarray, np.ndarray, float, float]]:
    oracle = np.load(HERE / "jf.npz")
    width = int(oracle["width"])
    predicted, truth = (
        np.unpackbits(oracle[n], axis=2)[:, :, :width].astype(bool) for n in ("pred", "truth")
    )
    return list(zip(predicted, truth, oracle["J"], oracle["F"], strict=True))


def test_pairs_of_masks() -> None:
    pairs = oracle_pairs()
    assert len(pairs) == 46
    for predicted, truth, j, f in pairs:
        assert abs(region_similarity(predicted, truth) - j) < TOLERANCE
        assert abs(contour_accuracy(predicted, truth) - f) < TOLERANCE


def ellipse(height: int, width: int, y: float, x: float) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return (rows - y) ** 2 / (height / 3) ** 2 + (columns - x) ** 2 / (width / 4) ** 2 < 1


@pytest.mark.parametrize("case", FORMULAS["sizes"], ids=lambda case: f"{case['w']}x{case['h']}")
def test_other_sizes(case: dict) -> None:
    height, width = case["h"], case["w"]
    truth, predicted = (
        ellipse(height, width, height / 2, width / 2),
        ellipse(height, width, height / 2.2, width / 1.9),
    )
    assert abs(region_similarity(predicted, truth) - case["J"]) < TOLERANCE
    assert abs(contour_accuracy(predicted, truth) - case["F"]) < TOLERANCE


@pytest.mark.parametrize("case", FORMULAS["statistics"], ids=lambda case: f"{len(case['values'])} frames")
def test_statistics(case: dict) -> None:
    found = statistics(np.array(case["values"]))
    for name in ("mean", "recall", "decay"):
        assert abs(getattr(found, name) - case[name]) < TOLERANCE


def test_decay_of_long_sequences() -> None:
    """The official tool's bins overflow past 256 frames."""
    falling = np.linspace(1, 0, 1000)
    assert statistics(falling).decay == pytest.approx(0.75, abs=2e-3)
