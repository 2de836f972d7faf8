"""Gated layers over sequences of frames: against the definition, with objects that join and leave."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spvos_cli.model.layers import ResidualBlock
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.gate import GATES, TripleGate
from spvos_cli.sparse.kernels.cpu import CPUKernel
from spvos_cli.sparse.kernels.reference import ReferenceKernel
from spvos_cli.sparse.policy import COMPUTE, REUSE, SKIP
from spvos_cli.sparse.run import InferenceRun
from tests.sparse.definition import Definition, folded, random_conv

KERNELS = {"reference": ReferenceKernel(), "cpu": CPUKernel(dense_above=1.0)}
PRESENT = (
    [(1, 2)] * 3 + [(1, 2, 5)] * 3 + [(2, 5)] * 3
)  # object 5 joins at frame 3, object 1 leaves at frame 6


def gated(method: str, seed: int, kind: tuple[int, int], *, norm: bool, relu: bool) -> SparseConv2d:
    """In float64: so that rounding decides about no pixel."""
    conv = random_conv(seed, (5, 4, *kind), norm=norm, relu=relu)
    conv.gate = GATES[method](conv)
    torch.nn.init.normal_(conv.gate.weight)
    torch.nn.init.normal_(conv.gate.bias)
    if method == "residual":
        torch.nn.init.constant_(conv.gate.bias, 0.3)
    return conv.double()


@pytest.mark.parametrize("method", GATES)
@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kind=st.sampled_from([(1, 1), (1, 2), (3, 1), (3, 2)]),
    options=st.tuples(st.booleans(), st.booleans()),
    sparse=st.lists(st.booleans(), min_size=len(PRESENT), max_size=len(PRESENT)),
    resized=st.sampled_from([None, 4, 7]),
    seed=st.integers(0, 999),
)
def test_sequences(method, kernel, size, kind, options, sparse, resized, seed) -> None:
    norm, relu = options
    conv = gated(method, seed, kind, norm=norm, relu=relu)
    definition, run, fast = Definition(conv), InferenceRun(kernel), folded(copy.deepcopy(conv))
    policies = 0
    for t, ids in enumerate(PRESENT):
        height, width = size if resized is None or t < resized else (size[1], size[0] + 1)
        x = {i: torch.randn(1, 5, height, width, dtype=torch.float64) for i in ids}
        expected, chosen = definition.step(x, sparse=sparse[t])
        run.begin(ids, sparse=sparse[t])
        found = fast(torch.cat(list(x.values())).contiguous(memory_format=torch.channels_last), run)
        torch.testing.assert_close(found, torch.cat(list(expected.values())), atol=1e-5, rtol=1e-5)
        for row, policy in enumerate(chosen.values()):
            if policy is not None:
                policies += 1
                assert torch.equal(run.policies[fast][row], policy[0].byte())
    assert policies > 0 or not any(sparse[1:]) or resized is not None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("method", GATES)
@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    size=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    kind=st.sampled_from([(1, 1), (1, 2), (3, 1), (3, 2)]),
    seed=st.integers(0, 999),
)
def test_sequences_in_the_arithmetic_of_inference(method, kernel, dtype, size, kind, seed) -> None:
    """The definition decides in float64; features are rounded to the dtype frame after frame."""
    conv = gated(method, seed, kind, norm=True, relu=True)
    definition, run, fast = Definition(conv), InferenceRun(kernel), folded(copy.deepcopy(conv)).to(dtype)
    for t, ids in enumerate(PRESENT):
        x = {i: torch.randn(1, 5, *size).to(dtype) for i in ids}
        expected, chosen = definition.step(
            {i: image.double() for i, image in x.items()}, sparse=t not in (0, 4)
        )
        every = torch.full((1, *expected[ids[0]].shape[2:]), COMPUTE)  # of an object that joins
        policies = torch.cat([every if policy is None else policy for policy in chosen.values()]).byte()
        run.begin(ids, sparse=t not in (0, 4))
        run.inject = lambda conv, policy, given=policies: given
        found = fast(torch.cat(list(x.values())).contiguous(memory_format=torch.channels_last), run)
        tolerance = 1e-4 if dtype == torch.float32 else 0.1
        torch.testing.assert_close(
            found.double(), torch.cat(list(expected.values())), atol=tolerance, rtol=tolerance
        )


@pytest.mark.parametrize("policy", [SKIP, REUSE, COMPUTE])
@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_identity_goes_on_where_the_branch_is_reused(kernel, policy) -> None:
    """The shortcut of a residual block is never stale: only the branch is."""
    torch.manual_seed(0)
    block = ResidualBlock(4, 4).requires_grad_(False)
    for conv in (block.conv1, block.conv2):
        conv.gate = TripleGate(conv).requires_grad_(False)
        conv.gate.bias.copy_(torch.eye(3)[policy])
    run = InferenceRun(kernel)
    frames = [torch.randn(1, 4, 6, 7).contiguous(memory_format=torch.channels_last) for _ in range(8)]
    run.begin(sparse=False)
    first = block(frames[0], run)
    dense = ResidualBlock.forward(block, frames[0])
    torch.testing.assert_close(first, dense)
    for frame in frames[1:]:
        run.begin(sparse=True)
        expected = {
            SKIP: frame,
            REUSE: frame + dense - frames[0],
            COMPUTE: ResidualBlock.forward(block, frame),
        }[policy]
        torch.testing.assert_close(block(frame, run), expected, atol=1e-5, rtol=1e-5)


def test_streams_share_a_layer_and_nothing_else() -> None:
    conv = folded(gated("triple", 0, (3, 1), norm=True, relu=True))
    frames = [torch.randn(1, 5, 6, 6, dtype=torch.float64) for _ in range(4)]
    alone, one, other = (InferenceRun(CPUKernel()) for _ in range(3))
    for t, frame in enumerate(frames):
        for run in (alone, one, other):
            run.begin(sparse=t > 0)
        expected = conv(frame, alone).clone()
        conv(frames[-t - 1], other)
        assert torch.equal(conv(frame, one), expected)


def test_shared_channels_are_the_same_for_all_objects() -> None:
    conv = folded(gated("triple", 1, (3, 1), norm=False, relu=True))
    split, whole = InferenceRun(CPUKernel()), InferenceRun(CPUKernel())
    for t in range(5):
        own, shared = (
            torch.randn(2, 3, 5, 6, dtype=torch.float64),
            torch.randn(1, 2, 5, 6, dtype=torch.float64),
        )
        split.begin([1, 2], sparse=t > 0)
        whole.begin([1, 2], sparse=t > 0)
        joined = torch.cat([own, shared.expand(2, -1, -1, -1)], dim=1)
        torch.testing.assert_close(conv(own, split, shared), conv(joined, whole), atol=1e-6, rtol=1e-6)
