"""What sources say about their colours, and what is taken where they say nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spvos_cli.video.colours import Colours
from spvos_cli.video.reader import open_source
from tests.video.test_formats import encode


def test_what_says_nothing_is_taken_as_players_do() -> None:
    assert Colours.of_size(720) == Colours.of_size(2160) == (1, 1, 1, 1)
    assert (Colours.of_size(480), Colours.of_size(576)) == ((6, 6, 6, 1), (5, 5, 6, 1))


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ((2, 2, 2, 0), (6, 6, 6, 1)),
        ((1, 2, 2, 2), (1, 1, 1, 2)),
        ((9, 9, 14, 1), (9, 9, 14, 1)),
        ((9, 9, 16, 1), (1, 1, 1, 1)),
        ((9, 2, 18, 1), (1, 1, 1, 1)),
        ((0, 1, 13, 2), (6, 1, 13, 2)),
        ((1, 12, 1, 1), (1, 12, 1, 1)),
    ],
)
def test_tags_are_completed(tags: tuple[int, int, int, int], expected: tuple[int, ...]) -> None:
    assert Colours.of_tags(480, *tags) == expected


def test_a_video_says_its_colours(tmp_path: Path) -> None:
    frames = [np.full((96, 128, 3), 90, np.uint8)] * 2
    options = {"x264-params": "colormatrix=bt709:colorprim=bt709:transfer=bt709"}
    path = encode(tmp_path / "x.mp4", frames, "libx264", "yuv420p", options=options)
    assert open_source(str(path)).colours == (1, 1, 1, 1)
