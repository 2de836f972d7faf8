"""J and F against the official tool's output."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spvos_cli.evaluation.measures import contour_accuracy, region_similarity, similarity_and_accuracy
from spvos_cli.evaluation.scores import statistics
from tests.evaluation.plain_recipe import plain_contour, plain_region
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


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 60),
    st.integers(2, 80),
    st.lists(st.tuples(*[st.floats(-0.2, 1.2)] * 4), max_size=6),
)
def test_cropping_changes_nothing(seed: int, height: int, width: int, boxes: list) -> None:
    """Rectangles, holes and specks anywhere, borders and corners among them, against whole frames."""
    rng = np.random.default_rng(seed)
    masks = [rng.random((height, width)) < rng.choice([0, 0.01]) for _ in range(2)]
    for k, (top, left, bottom, right) in enumerate(boxes):
        rows, columns = sorted((top, bottom)), sorted((left, right))
        (y0, y1), (x0, x1) = (
            [round(max(0, edge) * side) for edge in edges]
            for edges, side in ((rows, height), (columns, width))
        )
        masks[k % 2][y0:y1, x0:x1] ^= True
    expected = plain_region(*masks), plain_contour(*masks)
    assert similarity_and_accuracy(*masks) == pytest.approx(expected, abs=TOLERANCE)
    assert (region_similarity(*masks), contour_accuracy(*masks)) == similarity_and_accuracy(*masks)


@pytest.mark.parametrize("case", FORMULAS["statistics"], ids=lambda case: f"{len(case['values'])} frames")
def test_statistics(case: dict) -> None:
    found = statistics(np.array(case["values"]))
    for name in ("mean", "recall", "decay"):
        assert abs(getattr(found, name) - case[name]) < TOLERANCE


def test_decay_of_long_sequences() -> None:
    """The official tool's bins overflow past 256 frames."""
    falling = np.linspace(1, 0, 1000)
    assert statistics(falling).decay == pytest.approx(0.75, abs=2e-3)
