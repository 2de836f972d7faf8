"""Times by layer end when the device has."""

from __future__ import annotations

import pytest
import torch

from spvos_cli.model.checkpoint import build_model
from spvos_cli.model.config import LITE
from spvos_cli.profiling import layer_speed
from spvos_cli.profiling.speed import Workload


def test_the_device_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start and the end of every convolution, and in the product that is the measure."""
    waits: list[torch.device] = []
    clock = iter(range(10**9))

    def now(device: torch.device) -> float:
        waits.append(device)
        return float(next(clock))

    monkeypatch.setattr(layer_speed, "now", now)
    network = build_model(LITE).for_inference(torch.device("cpu"), torch.float32)
    speeds = layer_speed.layer_speeds(network, Workload(64, 48), cycles=1)
    assert set(waits) == {torch.device("cpu")}
    assert len(waits) >= 2 * len(speeds) + 12
    assert all(speed.dense_ms == 1000 for speed in speeds if speed.dense_ms is not None)
