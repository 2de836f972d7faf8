"""Each recipe's clips and loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from spvos_cli.data.click_samples import ClickRecipe, ClickSamples
from spvos_cli.data.clips import ClipDataset, Recipe, Stage, normalized
from spvos_cli.data.folders import WeightedDataset
from spvos_cli.data.lite_clips import LiteClips
from spvos_cli.data.paper_clips import PaperClips
from spvos_cli.data.streams import Streams
from spvos_cli.distributed import Processes
from spvos_cli.errors import InputError
from spvos_cli.model.clicks import ClickNetwork
from spvos_cli.model.config import ModelConfig
from spvos_cli.model.network import Network, VOSNetwork
from spvos_cli.training.base_options import ClipOptions, Phase, TrainOptions
from spvos_cli.training.click_loss import ClickLoss
from spvos_cli.training.clips.clip_loss import ClipLoss
from spvos_cli.training.options import ClicksOptions, LiteOptions, StreamOptions
from spvos_cli.training.streams.stream_loss import stream_loss


def make_dataset(options: TrainOptions, datasets: list[WeightedDataset], config: ModelConfig) -> Dataset[Any]:
    """What a recipe learns from, by `ClipKey`.

    Args:
        config: of the network that learns.

    Raises:
        InputError: the recipe needs videos or stills that are not there.
    """
    if isinstance(options, StreamOptions):
        videos = [WeightedDataset(d.weight, [s for s in d.sequences if len(s.frames) > 1]) for d in datasets]
        videos = [dataset for dataset in videos if dataset.sequences]
        if not videos:
            raise _lacking(options, "nothing but stills", "videos")
        return Streams(videos, config.mem_every, options.side, options.seed, options.batch_size)
    if isinstance(options, ClicksOptions):
        return ClickSamples(datasets, ClickRecipe(options.side, options.crowded), options.seed)
    shares = [phase_shares(options, phase, datasets) for phase in options.phases()]
    stages = [
        Stage(phase.end, clip_recipe(options, phase), share)
        for phase, share in zip(options.phases(), shares, strict=True)
    ]
    return ClipDataset(datasets, stages, options.seed)


def phase_shares(options: TrainOptions, phase: Phase, datasets: list[WeightedDataset]) -> np.ndarray:
    """How likely clips of a phase are drawn from each dataset: by their weights, but for how many clips shall
    be of videos.

    Raises:
        InputError: there are no videos or no stills where both are wanted.
    """
    shares = normalized([dataset.weight for dataset in datasets])
    if phase.videos is None:
        return shares
    videos = np.array([len(dataset.sequences[0].frames) > 1 for dataset in datasets])
    for kind, wanted, there in (("videos", phase.videos, videos), ("stills", 1 - phase.videos, ~videos)):
        if wanted and not there.any():
            raise _lacking(options, f"no {kind}", "videos and stills")
    weights = np.where(videos, phase.videos, 1 - phase.videos) * shares
    for there in (videos, ~videos):
        weights[there] /= max(shares[there].sum(), 1e-12)
    return normalized(weights.tolist())


def clip_recipe(options: TrainOptions, phase: Phase) -> Recipe:
    """How a phase's clips are made."""
    if isinstance(options, LiteOptions):
        return LiteClips(
            frames=phase.frames,
            side=phase.side,
            max_gap=options.max_gap,
            sparse_gap=options.sparse_gap,
            sparse_motion=options.sparse_motion,
        )
    return PaperClips(phase.frames, phase.side)


def make_loss(
    options: TrainOptions,
    network: Network,
    dtype: torch.dtype,
    processes: Processes,
    teacher: Path | None = None,
) -> nn.Module:
    """What a recipe minimises.

    Args:
        dtype: of the network's arithmetic.
        teacher: weights whose decoder teaches one that learns beside its gates.

    Raises:
        InputError: the network is none that the recipe can train.
    """
    if isinstance(options, ClicksOptions):
        assert isinstance(network, ClickNetwork)
        return ClickLoss(network, options, dtype)
    assert isinstance(network, VOSNetwork)
    if isinstance(options, StreamOptions):
        return stream_loss(network, options, dtype, processes, teacher)
    if network.gate is not None:
        fix = "--recipe stream"
        raise InputError(f"--recipe {options.recipe}", found="--gate module", expected=fix, fix=fix)
    assert isinstance(options, ClipOptions)
    return ClipLoss(network, options, dtype, processes)


def _lacking(options: TrainOptions, found: str, expected: str) -> InputError:
    return InputError(
        f"--recipe {options.recipe}",
        found=found,
        expected=expected,
        fix="--dataset davis,stills, or other data",
    )
