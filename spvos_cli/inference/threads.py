"""Threads of PyTorch while a network runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spvos_cli.model.network import VOSNetwork


@contextlib.contextmanager
def thread_count(count: int | None, network: VOSNetwork) -> Iterator[None]:
    """So many threads of the CPU for PyTorch, and afterwards as many as before; None: as many as there are.

    Where an engine with threads of its own runs all modules PyTorch is left with one: it has little to do
    then, and its threads would wait for each other longer than they save.
    """
    import torch

    before = torch.get_num_threads()
    in_engine = getattr(network.decoder, "engine", None) is not None and not network.gated_parts
    torch.set_num_threads(1 if in_engine else count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
