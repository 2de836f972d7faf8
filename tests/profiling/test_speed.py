"""What `profile --speed` times: whole memory cycles with a full bank, policies of the density asked for."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from spvos_cli.model.checkpoint import build_model
from spvos_cli.profiling.speed import MEMORY_FRAMES, Bench, Workload
from tests.training.conftest import SMALL

CELLS = 4 * 6  # of a frame of 96x64 pixels, at stride 16


def test_bench() -> None:
    """The lite network reads the previous frame besides the memory frames."""
    network = build_model(dataclasses.replace(SMALL, method="triple", structure="D"))
    network = network.for_inference(torch.device("cpu"), torch.float32)
    bench = Bench(network, Workload(96, 64, objects=2, density={"D": 0.1}))
    for _ in range(2):
        assert [timing.sparse for timing in bench.cycle()].count(False) == 1
        (group,) = bench.stream.groups
        assert group.bank.read().key.shape[1] == (MEMORY_FRAMES + 1) * CELLS
    bench.cycle()
    while not bench.stream.runs["D"].policies:
        bench.stream.step(bench.frames[0])
    shares = [(policy == 2).float().mean().item() for policy in bench.stream.runs["D"].policies.values()]
    assert all(share == pytest.approx(0.1, abs=0.03) for share in shares)
