"""Clips: what they depend on, that image and mask move together, and the paper's choice of frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from spvos_cli.data.augment import random_warp, spline
from spvos_cli.data.clips import ClipDataset, ClipKey, Recipe, Stage, normalized
from spvos_cli.data.folders import VideoSequence, WeightedDataset, davis_sequences, still_sequences
from spvos_cli.data.lite_clips import LiteClips, _Canvas
from spvos_cli.data.paper_clips import PaperClips, frame_indices, max_gap
from spvos_cli.data.youtube import youtube_sequences

RECIPES = {
    "lite": LiteClips(frames=4, side=64, min_area=20, max_gap=3),
    "paper": PaperClips(frames=4, side=64),
}


def clips_of(recipe: Recipe, *sequences: list[VideoSequence], seed: int = 0) -> ClipDataset:
    datasets = [WeightedDataset(1.0, each) for each in sequences]
    return ClipDataset(datasets, [Stage(1.0, recipe, normalized([1.0] * len(sequences)))], seed)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_clips_depend_on_seed_and_index_alone(davis: Path, stills: Path, recipe: Recipe) -> None:
    sequences = davis_sequences(davis, 2016, "train"), still_sequences(stills)
    first, second = (clips_of(recipe, *sequences, seed=3) for _ in range(2))
    for number in (5, 2, 9):
        one = first[ClipKey(number, 0.0)]
        torch.rand(number)
        other = second[ClipKey(number, 0.0)]
        assert torch.equal(one.frames, other.frames)
        assert torch.equal(one.ids, other.ids)
        assert one.frames.shape == (4, 3, 64, 64)
        assert one.frames.dtype == one.ids.dtype == torch.uint8
        assert one.objects == one.ids[0].max()
    numbered = [first[ClipKey(number, 0.0)] for number in range(30)]
    assert not torch.equal(numbered[0].frames, numbered[1].frames)
    assert {clip.objects for clip in numbered} == {1, 2}


@pytest.mark.parametrize(
    "recipe", [LiteClips(side=64, min_area=20, paste=0), PaperClips(side=64)], ids=RECIPES
)
@pytest.mark.parametrize("kind", ["davis", "stills"])
def test_image_and_mask_move_together(recipe: Recipe, kind: str, request: pytest.FixtureRequest) -> None:
    """The first object is the only thing that is bright yellow."""
    root = request.getfixturevalue(kind)
    sequences = davis_sequences(root, 2016, "train") if kind == "davis" else still_sequences(root)
    agreeing = []
    for frames, ids, _ in (clips_of(recipe, sequences)[ClipKey(i, 0.0)] for i in range(12)):
        frames = frames.float()
        yellow = (frames[:, 0] > 140) & (frames[:, 1] > 140) & (frames[:, 2] < 130)
        coloured = (frames[:, 0] - frames[:, 2]).abs().max() > 12
        if coloured and kind == "davis":
            agreeing.append(((yellow & (ids == 1)).sum() / (yellow | (ids == 1)).sum().clamp(min=1)).item())
        elif coloured and yellow.any():
            owner = ids[yellow].mode().values.item()
            agreeing.append((ids[yellow] == owner).float().mean().item())
    assert len(agreeing) > 5
    assert np.median(agreeing) > 0.8


def test_gaps_of_the_paper() -> None:
    assert [max_gap(p) for p in (0, 0.09, 0.1, 0.25, 0.35, 0.5, 0.89, 0.9, 0.99)] == [
        5,
        5,
        10,
        15,
        20,
        25,
        25,
        5,
        5,
    ]


@pytest.mark.parametrize(("length", "gap"), [(40, 5), (40, 25), (4, 25), (3, 5), (2, 5), (1, 5)])
def test_frames_of_a_clip(length: int, gap: int) -> None:
    rng, reversed_ones = np.random.default_rng(0), 0
    for _ in range(200):
        indices = frame_indices(length, 3, gap, rng)
        steps = np.diff(indices)
        assert len(indices) == 3
        assert min(indices) >= 0
        assert max(indices) < length
        assert (np.abs(steps) <= gap).all()
        assert (steps >= 0).all() or (steps <= 0).all()
        if length >= 3:
            assert (steps != 0).all()
        reversed_ones += steps.sum() < 0
    assert length < 3 or 60 < reversed_ones < 140


def test_videos_annotated_every_fifth_frame_have_smaller_gaps(youtube: Path) -> None:
    assert {sequence.step for sequence in youtube_sequences(youtube)} == {5}


def test_splines_take_their_values() -> None:
    rng = np.random.default_rng(0)
    points, values = rng.random((9, 2)), rng.random((9, 2))
    np.testing.assert_allclose(spline(points, values, points), values, atol=1e-6)
    line = np.stack([points @ [0.3, 0.5] + 0.1, points @ [-0.2, 0.9]], axis=1)
    queries = rng.random((20, 2))
    expected = np.stack([queries @ [0.3, 0.5] + 0.1, queries @ [-0.2, 0.9]], axis=1)
    np.testing.assert_allclose(spline(points, line, queries), expected, atol=1e-6)


def test_warps_without_strength_move_nothing() -> None:
    x, y = random_warp(np.random.default_rng(0), 32, 0.0)
    columns, rows = np.meshgrid(np.arange(32), np.arange(32))
    assert np.abs(x - columns).max() < 0.6
    assert np.abs(y - rows).max() < 0.6


def test_frames_that_run_sparsely_can_be_calm(davis: Path, stills: Path) -> None:
    """From the third frame on a still does not move at all, and a video no more than it does itself."""
    calm = LiteClips(frames=5, side=64, min_area=20, paste=0, bend_share=0, sparse_gap=1, sparse_motion=0)
    for frames, _, _ in (clips_of(calm, still_sequences(stills))[ClipKey(i, 0.0)] for i in range(6)):
        assert not torch.equal(frames[0], frames[1])
        assert all(torch.equal(frame, frames[1]) for frame in frames[2:])
    sequences = davis_sequences(davis, 2016, "train")
    for seed in range(20):
        canvas = _Canvas(sequences[0], calm, np.random.default_rng(seed))
        assert np.abs(np.diff(canvas._indices()[1:])).max() <= 1


def test_gaps_are_as_large_as_told() -> None:
    """Also those before frames that run sparsely, unless these have a limit of their own."""
    sequence = VideoSequence("long", (Path(),) * 400, (Path(),) * 400)
    for limit, largest in ((None, 90), (4, 4)):
        recipe = LiteClips(frames=4, max_gap=90, near_share=0, sparse_gap=limit)
        canvases = [_Canvas(sequence, recipe, np.random.default_rng(seed)) for seed in range(200)]
        gaps = np.abs([np.diff(canvas._indices()) for canvas in canvases]).max(axis=0)
        assert gaps[0] > 80
        assert (gaps[1:] > 0.8 * largest).all()
        assert (gaps[1:] <= largest).all()
