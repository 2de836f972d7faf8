"""How many lines of a frame the network sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spvos_cli.inference.lines import LENGTH, MOST, lines_for
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.model.config import LITE
from spvos_cli.model.lite import LiteVOS


def frame_with(length: int, other: int = 0, height: int = 540, width: int = 960) -> np.ndarray:
    """Object 1 is so long, across, object 2, if any, so long down; both are three pixels thick."""
    mask = np.zeros((height, width), np.uint8)
    mask[10:13, 5 : 5 + length] = 1
    mask[20 : 20 + other, 5:8] = 2
    return mask


@pytest.mark.parametrize(
    ("length", "lines"),
    [
        (700, 240),
        (432, 240),  # 192 pixels in 240 lines
        (384, 270),
        (216, 480),
        (30, 540),
        (3, 540),
    ],
)
def test_the_smallest_object_is_long_enough_as_far_as_there_are_lines(length: int, lines: int) -> None:
    assert lines_for(frame_with(length), [1], 240) == lines
    assert lines_for(frame_with(length, 500), [1, 2], 240) == lines
    assert lines_for(frame_with(length, 500), [2], 240) == 240


def test_small_frames_are_not_enlarged() -> None:
    assert lines_for(frame_with(20), [1], 540) == 540
    assert lines_for(frame_with(20), [1], 600) == 600
    assert (LENGTH, MOST) == (192, 2.25)


@pytest.fixture
def segmenter() -> VideoSegmenter:
    torch.manual_seed(0)
    network = LiteVOS(LITE).for_inference(torch.device("cpu"), torch.float32)
    return VideoSegmenter(network, size=64)


def test_the_size_is_chosen_where_following_begins_and_kept(segmenter: VideoSegmenter) -> None:
    mask = frame_with(40, height=160, width=240)
    image = np.dstack([mask, mask, mask]) * 90
    segmenter.step(image, mask)
    assert segmenter.lines == 144
    assert segmenter.prob is not None
    assert segmenter.prob.shape[1:] == (144, 216)
    segmenter.step(image, frame_with(40, 120, height=160, width=240))
    assert segmenter.lines == 144
    state = segmenter.state()
    segmenter.reset()
    assert segmenter.lines == 64
    segmenter.restore(state)
    assert segmenter.lines == 144
    segmenter.remove_object(1, 2)
    segmenter.step(image[:64], frame_with(40, height=64, width=240))
    assert segmenter.lines == 64


def test_whole_frames_are_not_enlarged(segmenter: VideoSegmenter) -> None:
    mask = frame_with(40, height=160, width=240)
    whole = VideoSegmenter(segmenter.network, size=64, region=False)
    whole.step(np.dstack([mask, mask, mask]), mask)
    assert whole.lines == 64
