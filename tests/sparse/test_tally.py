"""Counting policies."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.kernels.reference import REFERENCE
from spvos_cli.sparse.run import InferenceRun
from spvos_cli.sparse.tally import PolicyTally, counts_by_row
from tests.sparse.definition import random_policy


class Operations(TorchDispatchMode):
    """Names of the operations that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def runs_of(layers: int) -> tuple[dict[SparseConv2d, str], list[InferenceRun]]:
    convs = [SparseConv2d(2, 3, 3) for _ in range(layers)]
    run = InferenceRun(REFERENCE)
    run.policies = {conv: random_policy(n, (1 + n % 3, 4 + n, 5), 0.3) for n, conv in enumerate(convs)}
    run.policies[convs[0]] = torch.ones(2, 3, 3, dtype=torch.uint8)  # does not vary
    return {conv: f"decoder.{n}" for n, conv in enumerate(convs)}, [run]


def test_counts_equal_those_of_each_layer() -> None:
    names, runs = runs_of(7)
    tally = PolicyTally(names)
    for _ in range(2):
        tally.add(runs)
    for conv, policy in runs[0].policies.items():
        layer = tally.layers[names[conv]]
        assert layer.pixels.tolist() == [2 * int((policy == choice).sum()) for choice in range(3)]
        assert layer.steps == 2 * len(policy)
        assert layer.varying == 2 * sum(len(row.unique()) > 1 for row in policy)


def test_nothing_is_waited_for_but_the_one_transfer() -> None:
    """On a GPU these would be: what reads a value, or makes a tensor as long as values say."""
    policies = list(runs_of(9)[1][0].policies.values())
    with Operations() as operations:
        counts_by_row(policies)
    assert operations.names
    waits = {"_local_scalar_dense", "item", "nonzero", "bincount", "unique", "masked_select"}
    assert not waits & set(operations.names)
