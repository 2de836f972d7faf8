"""An id always means the same object: one that is given out again begins with nothing of the old one."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spvos_cli.inference.stream import Stream
from spvos_cli.model.checkpoint import build_model
from spvos_cli.model.hosts import HOSTS
from spvos_cli.model.network import VOSNetwork
from spvos_cli.sparse.gate import GATES
from spvos_cli.sparse.gate_base import Gate
from spvos_cli.sparse.kernels.cpu import CPUKernel
from tests.hosts import small

SIZE = (32, 48)
NETWORKS: dict[tuple[str, str], VOSNetwork] = {}


def network_of(method: str, architecture: str) -> VOSNetwork:
    """With gates, if any, in every module, that decide by what they see."""
    key = method, architecture
    if key not in NETWORKS:
        torch.manual_seed(0)
        everywhere = {"method": method, "structure": "QDM", "strategy": "fully"}
        network = build_model(small(architecture, gate_all=architecture != "lite", **everywhere))
        for gate in network.modules():
            if isinstance(gate, Gate):
                torch.nn.init.normal_(gate.weight, std=0.1)
                torch.nn.init.zeros_(gate.bias)
        NETWORKS[key] = network.for_inference(torch.device("cpu"), torch.float32)
    return NETWORKS[key]


def stream_of(network: VOSNetwork) -> Stream:
    return Stream(network, mem_every=2, top_k=10, max_memory=2, kernel=CPUKernel(dense_above=1.0))


def image(t: int) -> Tensor:
    return torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(t))


def mask(left: int) -> Tensor:
    mask = torch.zeros(SIZE)
    mask[8:24, left : left + 16] = 1
    return mask


@pytest.mark.parametrize("architecture", HOSTS)
@pytest.mark.parametrize("method", ["dense", *GATES])
@settings(max_examples=2, deadline=None, derandomize=True)
@given(
    leaves=st.integers(1, 4),
    away=st.integers(0, 2),
    companions=st.booleans(),
    annotated_again=st.sampled_from([(0, 0), (0, 24)]),
)
def test_an_id_that_comes_back(
    method: str,
    architecture: str,
    leaves: int,
    away: int,
    companions: bool,
    annotated_again: tuple[int, int],
) -> None:
    """As if the object had got an id that nobody ever had; and without companions, as in a new stream."""
    network = network_of(method, architecture)
    one, other, fresh = (stream_of(network) for _ in range(3))
    first = {1: mask(0)} | ({5: mask(30)} if companions else {})
    back = leaves + away
    for t in range(back + 4):
        if t == leaves:
            one.remove({1})
            other.remove({1})
        if t >= leaves and t < back and not companions:
            continue  # nobody to follow
        given_one = first if t == 0 else {1: mask(annotated_again[1])} if t == back else None
        given_other = {9 if t else i: m for i, m in given_one.items()} if t and given_one else given_one
        found, expected = one.step(image(t), given_one), other.step(image(t), given_other)
        torch.testing.assert_close(found, expected, atol=0, rtol=0)
        if t >= back and not companions:
            torch.testing.assert_close(
                fresh.step(image(t), {1: mask(annotated_again[1])} if t == back else None), found
            )


@pytest.mark.parametrize(
    ("method", "architecture"),
    [*((method, "spvos") for method in GATES), *(("triple", host) for host in HOSTS if host != "spvos")],
)
def test_objects_join_and_leave_where_everything_is_gated(method: str, architecture: str) -> None:
    """The decoder's skip convolutions have one row for all objects, whoever comes and goes."""
    network = network_of(method, architecture)
    stream = stream_of(network)
    present: list[int] = []
    for t, change in enumerate([[1], [1, 2], [1, 2], [1, 2, 3], [2, 3], [3], [3], [4, 3], [4]]):
        stream.remove(set(present) - set(change))
        joining = {i: mask(8 * i) for i in change if i not in present}
        prob = stream.step(image(t), joining or None)
        assert prob.shape == (1 + len(change), *SIZE)
        assert torch.isfinite(prob).all()
        present = stream.ids
        assert sorted(present) == sorted(change)


def test_policies_are_of_the_last_frame_alone() -> None:
    """What did not run in a frame decided nothing in it: memory encoders on other than memory frames,
    decoders where all objects are annotated."""
    stream = stream_of(network_of("triple", "spvos"))
    ran = []
    for t in range(6):
        stream.step(image(t), {1: mask(8)} if t in (0, 3) else None)
        ran.append("".join(part for part, run in stream.runs.items() if run.policies))
    # all run densely at first: Q in frame 0, D in 1, M after 0; memory frames are 0, 2, 3 and 5
    assert ran == ["", "Q", "QD", "QM", "QDM", "QD"]
    stream.remove({1})
    stream.forget_policies()
    assert not any(itertools.chain(*(run.policies for run in stream.runs.values())))
