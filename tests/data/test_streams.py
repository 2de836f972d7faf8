"""Streams of segments: they go on where they stood, and show something that can be followed."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from spvos_cli.data.clips import ClipKey
from spvos_cli.data.folders import VideoSequence, WeightedDataset, davis_sequences
from spvos_cli.data.streams import (
    AREA,
    REGION,
    STEPS,
    Segment,
    Streams,
    choose_view,
    objects_to_follow,
    pingpong_frames,
    region_of_like_colour,
)
from tests.training.conftest import davis as davis


def numbered(folder: Path, length: int) -> VideoSequence:
    """A video whose frames' green is their number."""
    folder.mkdir()
    frames, masks = [], []
    for t in range(length):
        image = np.zeros((64, 96, 3), np.uint8)
        image[..., 1] = 4 * t
        mask = np.zeros((64, 96), np.uint8)
        mask[20:40, 30:60] = 1
        for kind, files, array in (("f", frames, image), ("m", masks, mask)):
            files.append(folder / f"{kind}{t}.png")
            cv2.imwrite(str(files[-1]), array)
    return VideoSequence("numbered", tuple(frames), tuple(masks))


def streams_of(sequences: list[VideoSequence], *, streams: int = 2, seed: int = 0) -> Streams:
    return Streams([WeightedDataset(1.0, sequences)], frames=4, side=48, seed=seed, streams=streams)


def segment(data: Streams, number: int) -> Segment:
    return data[ClipKey(number, 0.0)]


def test_pingpong_frames_turn_at_the_ends() -> None:
    paths = [list(islice(pingpong_frames(5, np.random.default_rng(seed)), 20)) for seed in range(40)]
    steps = np.abs(np.diff(paths))
    assert {0, 4} < {place for path in paths for place in path} == set(range(5))
    assert set(steps.max(axis=1)) == {1, 2}
    assert (np.array(paths)[:, :8] == np.array(paths)[:, 8:16]).all()


def test_segments_go_on_where_the_one_before_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spvos_cli.data.streams.recolour", lambda image, matrix: image)
    data = streams_of([numbered(tmp_path / "one", 30)])
    numbers = []
    for stream in range(2):
        segments = [segment(data, 2 * step + stream) for step in range(20)]
        begins = [step for step, each in enumerate(segments) if each.starts]
        assert begins[0] == 0
        assert all(STEPS[0] <= length <= STEPS[1] for length in np.diff(begins))
        number = torch.cat([each.frames[:, 1, 24, 24] for each in segments]).int() // 4
        for first, end in zip(begins, [*begins[1:], 20], strict=True):
            moves = number[4 * first : 4 * end].diff().abs()
            assert moves.max() <= 2
        assert segments[0].frames.shape == (4, 3, 48, 48)
        numbers.append(number)
    assert not torch.equal(*numbers)


def test_a_each_depends_on_seed_and_index(davis: Path) -> None:
    sequences = davis_sequences(davis, 2016, "train")
    one, again, other = (
        segment(data, 7)
        for data in (streams_of(sequences), streams_of(sequences), streams_of(sequences, seed=1))
    )
    assert torch.equal(one.frames, again.frames)
    assert torch.equal(one.ids, again.ids)
    assert not torch.equal(one.frames, other.frames)


def test_there_is_always_something_to_follow(davis: Path) -> None:
    data = streams_of(davis_sequences(davis, 2016, "train"), streams=4)
    starts = [each for each in (segment(data, i) for i in range(40)) if each.starts]
    assert len(starts) > 4
    assert all((each.ids == 1).any() for each in starts)
    assert any((each.ids == 2).any() for each in starts)


def test_regions(davis: Path) -> None:
    frame = davis_sequences(davis, 2016, "train")[0].read_frame(0)
    for seed in range(10):
        region = region_of_like_colour(frame, np.random.default_rng(seed))
        assert region.shape == frame.shape[:2]
        assert AREA[0] < region.mean() < AREA[1]
    nothing = np.zeros(frame.shape[:2], np.uint8)
    ids = objects_to_follow(np.zeros_like(frame), nothing, np.random.default_rng(0))  # one colour: a box
    assert set(np.unique(ids)) == {0, 1}


def test_views_from_near_and_far() -> None:
    """An object looks larger or smaller than in its frame, and is never lost."""
    ids = np.zeros((64, 96), np.uint8)
    ids[20:30, 30:45] = 1
    shares = []
    for seed in range(60):
        affine, first = choose_view(ids, 48, np.random.default_rng(seed))
        assert (first == 1).any()
        shares.append(np.sqrt(abs(np.linalg.det(affine[:2, :2]))) * 64 / 48)  # what fills the side: 1
    assert min(shares) < 1 / REGION[1] + 0.05
    assert max(shares) > 1 / REGION[0] - 0.1
    speck = np.zeros((64, 96), np.uint8)
    speck[33, 47] = 1
    assert all((choose_view(speck, 48, np.random.default_rng(seed))[1] == 1).any() for seed in range(60))
