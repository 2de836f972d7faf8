"""What callers hand in and read out: arrays of all kinds, figures of the last frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spvos_cli.inference.measurements import fetched
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.model.checkpoint import load_checkpoint
from spvos_cli.model.network import VOSNetwork

Clip = tuple[list[np.ndarray], list[np.ndarray]]


@pytest.fixture
def network(weights: Path) -> VOSNetwork:
    return load_checkpoint(weights).for_inference(torch.device("cpu"), torch.float32)


def test_views_with_any_strides_are_taken(network: VOSNetwork, clip: Clip) -> None:
    frames, masks = clip
    expected, found = VideoSegmenter(network), VideoSegmenter(network)
    bgr = [np.ascontiguousarray(frame[..., ::-1]) for frame in frames[:3]]
    turned = np.ascontiguousarray(masks[0][:, ::-1])[:, ::-1]
    for t, frame in enumerate(bgr):
        right = expected.step(frames[t], masks[0] if t == 0 else None)
        assert np.array_equal(found.step(frame[..., ::-1], turned if t == 0 else None), right)
    assert not expected.prob.isnan().any()


@pytest.mark.parametrize("dtype", [bool, np.int64, np.uint16, np.int32])
def test_masks_of_booleans_and_integers(network: VOSNetwork, clip: Clip, dtype: type) -> None:
    frames, masks = clip
    first = (masks[0] == 1).astype(dtype)
    assert np.array_equal(VideoSegmenter(network).step(frames[0], first), masks[0] == 1)


FRAMES: dict[str, tuple[Any, type[Exception], str]] = {
    "float": (np.zeros((96, 128, 3), np.float32), TypeError, "float32; expected uint8"),
    "grey": (np.zeros((96, 128), np.uint8), ValueError, r"\(96, 128\); expected \(H, W, 3\)"),
    "alpha": (np.zeros((96, 128, 4), np.uint8), ValueError, r"\(96, 128, 4\)"),
    "batch": (np.zeros((1, 96, 128, 3), np.uint8), ValueError, r"\(1, 96, 128, 3\)"),
    "nothing": (np.zeros((0, 128, 3), np.uint8), ValueError, "no pixels"),
    "16 bits": (np.zeros((96, 128, 3), np.uint16), TypeError, "uint16; expected uint8"),
    "tensor": (torch.zeros(3, 96, 128), TypeError, "a Tensor; expected a NumPy array"),
}
MASKS: dict[str, tuple[Any, type[Exception], str]] = {
    "size": (np.ones((48, 64), np.uint8), ValueError, "64x48 pixels; expected 128x96"),
    "transposed": (np.ones((128, 96), np.uint8), ValueError, "96x128 pixels; expected 128x96"),
    "float": (np.ones((96, 128), np.float32), TypeError, "float32; expected integer ids or booleans"),
    "channels": (np.ones((96, 128, 1), np.uint8), ValueError, r"\(96, 128, 1\); expected \(H, W\)"),
    "too many": (np.full((96, 128), 256), ValueError, "256; expected ids, 0 to 255"),
    "below": (np.full((96, 128), -1), ValueError, "from -1 to -1"),
    "list": ([[1]], TypeError, "a list; expected a NumPy array"),
}


@pytest.mark.parametrize(("frame", "error", "text"), FRAMES.values(), ids=FRAMES)
def test_frames_that_are_none(network: VOSNetwork, frame: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        VideoSegmenter(network).step(frame, np.ones((96, 128), np.uint8))


@pytest.mark.parametrize(("mask", "error", "text"), MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("added", [False, True], ids=["step", "add_object"])
def test_masks_that_are_none(
    network: VOSNetwork, clip: Clip, mask: Any, error: type[Exception], text: str, added: bool
) -> None:
    """And nothing is changed by them."""
    segmenter = VideoSegmenter(network)
    frames, masks = clip
    segmenter.step(frames[0], masks[0])

    def give() -> None:
        if added:
            segmenter.add_object(mask, 9)
        segmenter.step(frames[1], None if added else mask)

    with pytest.raises(error, match=text):
        give()
    segmenter.remove_object(9)
    assert segmenter.objects == [1, 2]
    assert segmenter.step(frames[1]).shape == masks[1].shape


def test_figures_are_of_the_last_frame(network: VOSNetwork, clip: Clip) -> None:
    frames, masks = clip
    segmenter = VideoSegmenter(network)
    assert segmenter.gate_stats.total == 0
    segmenter.step(frames[0], masks[0])
    assert segmenter.gate_stats.total == 0  # dense
    segmenter.step(frames[1])
    assert segmenter.gate_stats.total == 0  # decoded for the first time: dense as well
    for t in (2, 4):
        segmenter.step(frames[t])
        assert segmenter.gate_stats.total > 0
        assert segmenter.gate_stats.policies
        segmenter.step(frames[t + 1], masks[t + 1])  # all objects annotated: nothing is decoded
        assert segmenter.gate_stats == (0, 0, {})
    segmenter.step(frames[6])
    segmenter.remove_object(1, 2)
    for t in (6, 7):
        segmenter.step(frames[t])
        assert segmenter.gate_stats == (0, 0, {})
        assert segmenter.confidence == {}
        assert segmenter.probabilities.shape[0] == 0


def test_confidence_stays_with_its_object(network: VOSNetwork, clip: Clip) -> None:
    frames, masks = clip
    segmenter = VideoSegmenter(network)
    for t in range(2):
        segmenter.step(frames[t], masks[0] if t == 0 else None)
    probabilities = segmenter.probabilities
    segmenter.remove_object(1)
    assert set(segmenter.confidence) <= {2}
    assert np.array_equal(segmenter.probabilities, probabilities[1:])


def test_tensors_of_all_kinds_arrive_as_they_were() -> None:
    tensors = [torch.arange(7, dtype=torch.uint8), torch.rand(2, 3), torch.arange(4), torch.zeros(0, 3)]
    for found, expected in zip(fetched(tensors), tensors, strict=True):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)
