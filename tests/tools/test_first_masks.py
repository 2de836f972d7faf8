"""What a first mask is worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spvos_cli.data.folders import VideoSequence
from spvos_cli.video.suggest import Prompts
from tests.conftest import make_frame, write_mask
from tools.first_masks import begin


def half(frame: np.ndarray, prompts: Prompts, previous: np.ndarray) -> np.ndarray:
    """A `Suggest` that finds the box's upper half, and a square about each click."""
    assert prompts.box
    x, y, width, height = prompts.box
    found = np.zeros_like(previous)
    found[y : y + height // 2, x : x + width] = True
    for column, row, positive in prompts.clicks:
        found[row - 5 : row + 6, column - 5 : column + 6] = positive
    return found


def test_begin(tmp_path: Path) -> None:
    from PIL import Image

    image, ids = make_frame(0)
    Image.fromarray(image).save(tmp_path / "0.png")
    mask = write_mask(tmp_path / "m.png", (ids == 1).astype(np.uint8))
    sequence = VideoSequence("a", (tmp_path / "0.png",) * 2, (mask, mask))
    ious = {}
    for start in ("true", "box", "2"):
        begun, ious[start] = begin(sequence, half, start, tmp_path / start)
        assert begun.masks[1:] == (mask,)
        assert begun.read_mask(0).any()
    assert ious["true"] == 1
    assert ious["box"] == 0.5
    assert 0.5 < ious["2"] < 1
