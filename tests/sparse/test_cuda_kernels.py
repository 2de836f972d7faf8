"""The CUDA sources, executed on the CPU by the real launcher, against the definition under given policies."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F

from spvos_cli.sparse.kernels.cuda import CUDAKernel
from spvos_cli.sparse.policy import COMPUTE, REUSE, SKIP
from tests.sparse.definition import folded, random_conv, random_policy
from tests.sparse.host_gpu import SCHEDULES, HostGPU, needs_compiler
from tests.sparse.rounding import (
    ARITHMETIC,
    LARGEST_ERROR,
    Arithmetic,
    channels_last,
    relative_error,
    rounded_problem,
)

pytestmark = needs_compiler

KINDS = [(1, 1), (1, 2), (3, 1), (3, 2)]
SIZES = [(1, 1), (2, 3), (9, 13)]
CHANNELS = [(5, 7), (40, 72)]  # element by element; in wide loads, over more than one tile


def cases() -> Iterator[tuple[int, tuple[int, int], tuple[int, int], tuple[int, int], float]]:
    """A seed, (Cin, Cout), (k, stride), (H, W), density."""
    yield from (
        (seed, *case) for seed, case in enumerate(itertools.product(CHANNELS, KINDS, SIZES, [0.0, 0.2, 1.0]))
    )


def kernel_on(arithmetic: Arithmetic, schedule: str = "round robin") -> CUDAKernel:
    return CUDAKernel(HostGPU(arithmetic.capability, schedule=schedule).launcher, dense_above=1.0)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", ARITHMETIC)
def test_update(name: str, schedule: str) -> None:
    arithmetic = ARITHMETIC[name]
    kernel = kernel_on(arithmetic, schedule)
    for seed, channels, kind, size, density in cases():
        relu, bias = seed % 2 == 0, seed % 3 > 0
        conv = folded(random_conv(seed, (*channels, *kind), norm=seed % 4 > 0, relu=relu, bias=bias))
        problem = rounded_problem(conv, torch.randn(2, channels[0], *size), None, arithmetic)
        policy = random_policy(seed, problem.output[:, 0].shape, density)
        assert relative_error(kernel, problem, policy) <= LARGEST_ERROR[arithmetic.dtype]


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("name", ["fp32", "fp16"])
def test_many_tiles(name: str, blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """More tiles than blocks: a block goes from one to the next, over several chunks."""
    monkeypatch.setattr("spvos_cli.sparse.kernels.cuda.BLOCKS", blocks)
    arithmetic = ARITHMETIC[name]
    for schedule in SCHEDULES:
        conv = folded(random_conv(1, (24, 136, 3, 1), norm=True, relu=True))
        problem = rounded_problem(conv, torch.randn(2, 24, 9, 11), None, arithmetic)
        error = relative_error(kernel_on(arithmetic, schedule), problem, random_policy(1, (2, 9, 11), 0.7))
        assert error <= LARGEST_ERROR[arithmetic.dtype]


@pytest.mark.parametrize("name", ["fp16", "bf16", "tf32"])
def test_sums_are_float32_to_the_end(name: str) -> None:
    """As many chunks as the deepest layer has: nothing is rounded between them."""
    arithmetic = ARITHMETIC[name]
    conv = folded(random_conv(2, (512, 8, 3, 1), norm=False, relu=False))
    problem = rounded_problem(conv, torch.randn(1, 512, 4, 5), None, arithmetic)
    error = relative_error(kernel_on(arithmetic), problem, random_policy(2, (1, 4, 5), 0.8))
    assert error <= LARGEST_ERROR[arithmetic.dtype]


@pytest.mark.parametrize("name", ARITHMETIC)
@pytest.mark.parametrize(("own", "common"), [(3, 2), (40, 24), (8, 72), (72, 8)])
def test_common_channels(own: int, common: int, name: str) -> None:
    """Channels that all objects of a frame share, for two frames of three objects."""
    arithmetic = ARITHMETIC[name]
    for kind in KINDS:
        conv = folded(random_conv(own, (own + common, 12, *kind), norm=True, relu=False))
        x, shared = torch.randn(6, own, 5, 6), torch.randn(2, common, 5, 6)
        problem = rounded_problem(conv, x, shared, arithmetic)
        policy = random_policy(own, problem.output[:, 0].shape, 0.4)
        assert relative_error(kernel_on(arithmetic), problem, policy) <= LARGEST_ERROR[arithmetic.dtype]


@pytest.mark.parametrize("name", ARITHMETIC)
@pytest.mark.parametrize("channels", CHANNELS)
def test_add(channels: tuple[int, int], name: str) -> None:
    """What is not computed stays as it is, skipped or not; no bias, no ReLU; the sum is rounded once, which
    shows where what is added nearly cancels what is there."""
    arithmetic = ARITHMETIC[name]
    kernel = kernel_on(arithmetic)
    for seed, kind in enumerate(KINDS):
        conv = folded(random_conv(seed, (*channels, *kind), norm=False, relu=True))
        change = torch.randn(2, channels[0], 7, 10)
        conv, change, _, added = rounded_problem(conv, change, None, arithmetic)
        against = -0.9 * F.conv2d(change.double(), conv.weight.double(), None, conv.stride, conv.padding)
        problem = rounded_problem(conv, change.float(), None, arithmetic, against)
        policy = random_policy(seed, problem.output[:, 0].shape, 0.3)
        computed = policy.unsqueeze(1) == COMPUTE
        problem = problem._replace(output=channels_last(problem.output * computed))
        assert relative_error(kernel, problem, policy, add=True) <= LARGEST_ERROR[arithmetic.dtype]

        output = channels_last(torch.randn_like(added))
        found = output.clone()
        kernel.add(conv.to(arithmetic.dtype, memory_format=torch.channels_last), problem.x, policy, found)
        kept = ~computed.expand_as(found)
        assert torch.equal(found[kept], output[kept])


@pytest.mark.parametrize("policy", [SKIP, REUSE, COMPUTE, "last pixel"])
@pytest.mark.parametrize("name", ["fp32", "fp16"])
def test_extremes(policy: int | str, name: str) -> None:
    policies = torch.full((1, 8, 9), REUSE if policy == "last pixel" else policy, dtype=torch.uint8)
    if policy == "last pixel":
        policies[0, 7, 8] = COMPUTE
    arithmetic = ARITHMETIC[name]
    conv = folded(random_conv(3, (6, 4, 3, 1), norm=True, relu=True))
    problem = rounded_problem(conv, torch.randn(1, 6, 8, 9), None, arithmetic)
    assert relative_error(kernel_on(arithmetic), problem, policies) <= LARGEST_ERROR[arithmetic.dtype]


@pytest.mark.parametrize("capability", [70, 80])
def test_reuse_touches_nothing(capability: int) -> None:
    """Not even what cannot be multiplied."""
    conv = folded(random_conv(0, (8, 8, 3, 1), norm=True, relu=True))
    output = channels_last(torch.full((1, 8, 5, 5), float("nan")))
    policy = torch.full((1, 5, 5), REUSE, dtype=torch.uint8)
    policy[0, 2, 2] = COMPUTE
    x = channels_last(torch.randn(1, 8, 5, 5))
    CUDAKernel(HostGPU(capability).launcher, dense_above=1.0).update(conv, x, None, policy, output)
    assert output.isnan().any(dim=1).sum() == 24
    assert output[0, :, 2, 2].isfinite().all()


@pytest.mark.parametrize("name", ["fp32", "fp16"])
def test_what_is_not_a_number_stays_so(name: str) -> None:
    """Where no ReLU follows a fault of the input has to be seen in the output."""
    arithmetic = ARITHMETIC[name]
    conv = folded(random_conv(0, (8, 8, 3, 1), norm=True, relu=False))
    x = torch.randn(1, 8, 5, 5)
    x[0, 3, 2, 2] = torch.nan
    conv, x, _, output = rounded_problem(conv, x, None, arithmetic)
    kernel_on(arithmetic).update(conv, x, None, torch.full((1, 5, 5), COMPUTE, dtype=torch.uint8), output)
    near = torch.zeros(5, 5, dtype=torch.bool)
    near[1:4, 1:4] = True
    assert torch.equal(output.isnan().all(dim=1)[0], near)
