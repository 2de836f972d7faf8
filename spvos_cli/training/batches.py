"""Batches of clips, made by processes beside the one that trains."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from spvos_cli.data.clips import ClipKey
from spvos_cli.training.signals import ignore_signals, quiet_child_signals


def load_batches(
    dataset: Dataset[Any], keys: Iterable[list[ClipKey]], workers: int, device: torch.device
) -> Generator[tuple[Tensor, ...], None, None]:
    """The fields of the dataset's items, stacked, for each list of keys. To be closed where not used up.

    Args:
        keys: taken a few batches ahead where there are workers.
        workers: processes that make items; 0: this one does.
        device: where batches will go: for a GPU they lie in pinned memory.
    """
    loader = DataLoader(
        dataset,
        batch_sampler=keys,
        num_workers=workers,
        collate_fn=default_collate,
        worker_init_fn=ignore_signals,
        pin_memory=device.type == "cuda",
    )
    batches = iter(loader)  # starts the workers, and installs PyTorch's handler of SIGCHLD
    with quiet_child_signals() if workers else nullcontext():
        yield from batches
