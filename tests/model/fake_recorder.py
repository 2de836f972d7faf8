"""A recorder that computes on a CPU and stands for CUDA's: nothing is in a result before it is replayed, and
every replay overwrites it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from spvos_cli.model.backends.graphs import cloned, tensors_in


class FakeRecorder:
    """Attributes: recorded and replayed, how often."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def record(self, function: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        self.recorded += 1
        result = cloned(function())
        for x in tensors_in(result):
            x.fill_(torch.nan if x.is_floating_point() else 0)

        def replay() -> None:
            self.replayed += 1
            for kept, x in zip(tensors_in(result), tensors_in(function()), strict=True):
                kept.copy_(x)

        return result, replay
