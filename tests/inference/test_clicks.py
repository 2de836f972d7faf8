"""Which part of a frame the network of clicks looks at, and what comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from spvos_cli.inference.clicks import (
    LONGEST_SIDE,
    ClickSuggest,
    Part,
    load_suggest,
    part_of_interest,
    picture_size,
    with_clicks,
)
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.model.checkpoint import save_weights
from spvos_cli.model.clicks import ClickNetwork, Features
from spvos_cli.video.boxes import Box
from spvos_cli.video.grab_cut import suggest_with_grab_cut
from spvos_cli.video.suggest import Click, Prompts
from tests.conftest import make_frame

WHOLE = Part(0, 0, 640, 480)
EMPTY = np.zeros((480, 640), bool)


def mask_of(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = EMPTY.copy()
    mask[top:bottom, left:right] = True
    return mask


def test_the_box_with_what_is_around() -> None:
    prompts = Prompts(Box(100, 200, 100, 50))
    assert part_of_interest(prompts, EMPTY, WHOLE) == Part(80, 180, 220, 270)
    assert part_of_interest(Prompts(Box(0, 400, 640, 80)), EMPTY, WHOLE) == Part(0, 272, 640, 480)
    tiny = part_of_interest(Prompts(Box(300, 200, 4, 4)), EMPTY, WHOLE)
    assert (tiny.right - tiny.left, tiny.bottom - tiny.top) == (32, 32)


def test_what_lies_within_the_box_changes_nothing() -> None:
    prompts = Prompts(Box(100, 200, 100, 50))
    part = part_of_interest(prompts, EMPTY, WHOLE)
    assert part_of_interest(prompts.with_click(Click(150, 220)), mask_of(90, 190, 210, 260), WHOLE) == part
    more = part_of_interest(prompts.with_click(Click(400, 220)), EMPTY, WHOLE)
    assert more.holds(part)
    assert more.right > 400


def test_a_mask_that_changes_a_little_changes_nothing() -> None:
    """Features are made anew only where the part changes."""
    prompts = Prompts(clicks=(Click(250, 250),))
    parts = {part_of_interest(prompts, mask_of(200 + i, 200, 330, 290), WHOLE) for i in range(1, 8)}
    assert len(parts) == 1
    assert parts.pop().holds(Part(201, 200, 330, 290))


def test_size_of_the_picture() -> None:
    assert picture_size(Part(10, 10, 210, 110)) == (LONGEST_SIDE, LONGEST_SIDE // 2)
    assert picture_size(Part(0, 0, 3, 400)) == (16, LONGEST_SIDE)


class Echo(ClickNetwork):
    """Says that the object is what lies in the box, or where clicks are, or what is red."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = 0

    def encode(self, image: torch.Tensor) -> Features:
        self.looked += 1
        return image, image, image

    def forward(self, features: Features, said: torch.Tensor) -> torch.Tensor:
        red = (features[0][:, 0] > 0.9) & (features[0][:, 2] < 0.5)
        return torch.where(red | (said[:, 3] > 0) if said[:, 3].any() else red, 5.0, -5.0)


def test_places_are_exact() -> None:
    """What the network says of a part comes back where it was."""
    image, ids = make_frame(0)
    nothing = np.zeros(ids.shape, bool)
    network = Echo()
    suggest = ClickSuggest(network, torch.float32)
    red = (image[..., 0] > 230) & (image[..., 2] < 120)
    assert np.array_equal(red, ids == 1)
    found = suggest(image, Prompts(clicks=(Click(20, 30),)), nothing)
    assert ((found & red).sum() / (found | red).sum()) > 0.95
    found = suggest(image, Prompts(Box(70, 60, 20, 25)), nothing)
    inside = np.zeros_like(red)
    inside[60:85, 70:90] = True
    assert ((found & inside).sum() / (found | inside).sum()) > 0.93


def test_a_picture_is_looked_at_once() -> None:
    image, ids = make_frame(0)
    network = Echo()
    suggest, nothing, prompts = ClickSuggest(network, torch.float32), ids == 9, Prompts(Box(5, 15, 40, 40))
    first = suggest(image, prompts, nothing)
    again = suggest(image.copy(), prompts.with_click(Click(20, 30)), first)
    assert network.looked == 1
    assert np.array_equal(first, again)
    suggest(make_frame(1)[0], prompts, nothing)
    assert network.looked == 2


def test_clicks_are_certain() -> None:
    mask = mask_of(100, 100, 200, 200)
    found = with_clicks(mask, Prompts(clicks=(Click(300, 300), Click(150, 150, False), Click(120, 120))))
    assert found[300, 300]
    assert not found[150, 150]
    assert (found ^ mask).sum() == 2 * 5  # dots of a hundredth of its size, and none where all is right


def test_where_there_are_no_weights_grab_cut_does_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "clicks.safetensors"
    torch.manual_seed(0)  # three of forty networks without training miss the clicked pixel
    monkeypatch.setattr("spvos_cli.inference.engine.clicks_file", lambda: path)
    assert EngineOptions().suggest() is suggest_with_grab_cut
    save_weights(ClickNetwork(), path)
    options = EngineOptions(dtype="fp32", threads=1)
    image, ids = make_frame(0)
    prompts, nothing = Prompts(Box(5, 15, 40, 40), (Click(20, 30),)), ids == 9
    found = [
        options.suggest()(image, prompts, nothing),
        load_suggest(path, dtype="fp32")(image, prompts, nothing),
    ]
    assert np.array_equal(*found)
    assert found[0][30, 20]
