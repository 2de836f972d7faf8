"""Measuring from which density on dense convolutions are faster."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from spvos_cli.profiling import break_even
from spvos_cli.profiling.break_even import GatedShape, break_even_density

SHAPE = GatedShape(8, 8, 3, 1, (12, 16))


class Sleeper:
    """A backend whose time is given."""

    def __init__(self, seconds) -> None:
        self.seconds = seconds

    def update(self, conv, x, shared, policy, output) -> None:
        density = (policy == 2).float().mean().item()
        self.clock.time += self.seconds(density)


class Clock:
    time = 0.0

    def __call__(self) -> float:
        return self.time


def test_where_the_two_take_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the densities that are measured; never and always at the ends."""
    clock = Clock()
    monkeypatch.setattr(break_even, "time", SimpleNamespace(perf_counter=clock))
    monkeypatch.setattr(Sleeper, "clock", clock, raising=False)

    def found(sparse) -> float:
        backends = Sleeper(sparse), Sleeper(lambda density: 1.0)
        return break_even_density(SHAPE, torch.float32, *backends, torch.device("cpu"))

    assert found(lambda density: density / 0.45) == pytest.approx(0.45, abs=0.02)
    assert found(lambda density: 0.5) == 1.0
    assert found(lambda density: 2.0) == pytest.approx(0.0, abs=0.05)
