"""A box and clicks become a mask."""

from __future__ import annotations

import numpy as np
import pytest

from spvos_cli.video.boxes import Box
from spvos_cli.video.grab_cut import suggest_with_grab_cut
from spvos_cli.video.suggest import Click, Prompts
from tests.conftest import make_frame

EMPTY = np.zeros((96, 128), bool)


def iou(found: np.ndarray, true: np.ndarray) -> float:
    return float((found & true).sum() / (found | true).sum())


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    return make_frame(0)


def test_box(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, ids = scene
    assert iou(suggest_with_grab_cut(image, Prompts(Box(5, 15, 40, 40)), EMPTY), ids == 1) > 0.9


def test_a_box_that_hangs_over_the_edge(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, ids = scene
    assert iou(suggest_with_grab_cut(image, Prompts(Box(-9, 15, 54, 40)), EMPTY), ids == 1) > 0.9


def test_click_without_a_box(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, ids = scene
    assert iou(suggest_with_grab_cut(image, Prompts(clicks=(Click(95, 65),)), EMPTY), ids == 2) > 0.8


def test_clicks_are_certain(scene: tuple[np.ndarray, np.ndarray]) -> None:
    """Where a click is, the mask is as it says, whatever the picture shows."""
    image, ids = scene
    prompts = Prompts(Box(5, 15, 40, 40), (Click(60, 80), Click(25, 35, False)))
    found = suggest_with_grab_cut(image, prompts, ids == 1)
    assert found[80, 60]
    assert not found[35, 25]


def test_the_last_click_holds(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, ids = scene
    clicks = (Click(25, 35, False), Click(25, 35))
    assert suggest_with_grab_cut(image, Prompts(Box(5, 15, 40, 40), clicks), ids == 1)[35, 25]
    assert not suggest_with_grab_cut(image, Prompts(Box(5, 15, 40, 40), clicks[::-1]), ids == 1)[35, 25]


def test_more_is_found_where_a_click_says_so(scene: tuple[np.ndarray, np.ndarray]) -> None:
    """Half of the object is known; a click in the other half brings it."""
    image, ids = scene
    half = ids == 1
    half[:, 25:] = False
    found = suggest_with_grab_cut(image, Prompts(Box(5, 15, 40, 40), (Click(35, 30),)), half)
    assert iou(found, ids == 1) > 0.9


def test_a_box_over_the_whole_frame(scene: tuple[np.ndarray, np.ndarray]) -> None:
    assert suggest_with_grab_cut(scene[0], Prompts(Box(0, 0, 128, 96)), EMPTY).any()


def test_prompts_come_back_from_json() -> None:
    import json

    prompts = Prompts(Box(1, 2, 3, 4), (Click(5, 6),)).with_click(Click(7, 8, False))
    assert Prompts.of_record(json.loads(json.dumps(prompts.record()))) == prompts
    assert Prompts.of_record(json.loads(json.dumps(Prompts().record()))) == Prompts()
