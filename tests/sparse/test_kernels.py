"""Every backend against the definition, under given policies."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spvos_cli.model.checkpoint import build_model
from spvos_cli.model.config import LITE, SPVOS
from spvos_cli.model.cpu.products import NARROW, narrow_conv2d
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.kernels.cpu import CPUKernel
from spvos_cli.sparse.kernels.kernel import Kernel
from spvos_cli.sparse.kernels.reference import ReferenceKernel
from spvos_cli.sparse.plan import gated_convolutions
from spvos_cli.sparse.policy import COMPUTE, REUSE, SKIP
from tests.sparse.definition import folded, random_conv, random_policy

KERNELS = {
    "reference": ReferenceKernel(),
    "cpu": CPUKernel(dense_above=1.0),
    "cpu, dense": CPUKernel(dense_above=-1.0),
}
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 2e-2}


def expected_update(conv: SparseConv2d, x: Tensor, policy: Tensor, output: Tensor) -> Tensor:
    computed = conv.finish(conv.convolve(x))
    skipped = conv.finish(torch.zeros_like(computed))
    if conv.norm is None:
        skipped = torch.zeros_like(computed)
    return torch.where(
        policy[:, None] == COMPUTE, computed, torch.where(policy[:, None] == SKIP, skipped, output)
    )


def assert_close(found: Tensor, expected: Tensor, dtype: torch.dtype, tolerance: float | None = None) -> None:
    scale = expected.abs().max().clamp(min=1e-6)
    assert ((found.float() - expected).abs().max() / scale) <= (tolerance or TOLERANCE[dtype])


def check_update(
    kernel: Kernel,
    conv: SparseConv2d,
    x: Tensor,
    policy: Tensor,
    dtype: torch.dtype,
    tolerance: float | None = None,
) -> None:
    output = torch.randn(len(x), conv.out_channels, *policy.shape[1:])
    expected = expected_update(conv, x, policy, output)
    conv = folded(conv).to(dtype).to(memory_format=torch.channels_last)
    x, output = (t.to(dtype, memory_format=torch.channels_last) for t in (x, output))
    kernel.update(conv, x, None, policy, output)
    assert_close(output, expected, dtype, tolerance)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    batch=st.integers(1, 3),
    size=st.tuples(st.integers(1, 13), st.integers(1, 17)),
    channels=st.tuples(st.integers(1, 19), st.integers(1, 19)),
    kind=st.sampled_from([(1, 1), (1, 2), (3, 1), (3, 2)]),
    density=st.sampled_from([0.0, 0.03, 0.3, 1.0]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    options=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    seed=st.integers(0, 99),
)
def test_update(kernel, batch, size, channels, kind, density, dtype, options, seed) -> None:
    norm, relu, bias = options
    conv = random_conv(seed, (*channels, *kind), norm=norm, relu=relu, bias=bias)
    x = torch.randn(batch, channels[0], *size)
    policy = random_policy(seed, conv.convolve(x)[:, 0].shape, density)
    check_update(kernel, conv, x, policy, dtype)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kind=st.sampled_from([(1, 1), (1, 2), (3, 1), (3, 2)]),
    density=st.sampled_from([0.0, 0.03, 0.3, 1.0]),
    seed=st.integers(0, 99),
)
def test_add(kernel, size, kind, density, seed) -> None:
    conv = random_conv(seed, (7, 5, *kind), norm=False, relu=True).requires_grad_(False)
    change = torch.randn(2, 7, *size).contiguous(memory_format=torch.channels_last)
    added = torch.nn.functional.conv2d(change, conv.weight, None, conv.stride, conv.padding)
    policy = random_policy(seed, added[:, 0].shape, density)
    output = torch.randn_like(added)
    expected = output + added * (policy == COMPUTE)[:, None]
    kernel.add(conv, change, policy, output)
    assert_close(output, expected, torch.float32)


def real_shapes() -> list[tuple[int, int, int, int]]:
    shapes = set()
    for config, structure in ((SPVOS, "QDM"), (LITE, "D")):
        with torch.device("meta"):
            network = build_model(config)
        for conv in gated_convolutions(network, structure, gate_all=True).values():
            shapes.add((conv.in_channels, conv.out_channels, conv.kernel_size[0], conv.stride[0]))
    return sorted(shapes)


@pytest.mark.parametrize("density", [0.03, 0.3])
@pytest.mark.parametrize("shape", real_shapes(), ids=lambda shape: "-".join(map(str, shape)))
def test_real_shapes(shape, density) -> None:
    conv = random_conv(0, shape, norm=True, relu=True)
    x = torch.randn(2, shape[0], 14, 19)
    policy = random_policy(1, conv.convolve(x)[:, 0].shape, density)
    check_update(CPUKernel(dense_above=1.0), conv, x, policy, torch.float32)


@pytest.mark.parametrize("policy", [SKIP, REUSE, COMPUTE, "one pixel"])
@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_extremes(kernel, policy) -> None:
    conv = random_conv(3, (6, 4, 3, 1), norm=True, relu=True)
    x = torch.randn(1, 6, 8, 9)
    policies = torch.full((1, 8, 9), REUSE if policy == "one pixel" else policy, dtype=torch.uint8)
    if policy == "one pixel":
        policies[0, 7, 8] = COMPUTE
    check_update(kernel, conv, x, policies, torch.float32)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    batch=st.integers(1, 2),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    channels=st.tuples(st.integers(1, 9), st.integers(1, NARROW)),
    bias=st.booleans(),
)
def test_narrow_convolution(batch, size, channels, bias) -> None:
    x = torch.randn(batch, channels[0], *size)
    conv = torch.nn.Conv2d(*channels, 3, padding=1, bias=bias)
    with torch.no_grad():
        assert_close(narrow_conv2d(x, conv.weight, conv.bias), conv(x), torch.float32)
