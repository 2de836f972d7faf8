"""The CUDA sources, executed on the CPU by the real launcher, against the definition under given policies."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from spvos_cli.sparse.kernels.cuda import CUDAKernel
from spvos_cli.sparse.kernels.reference import REFERENCE
from spvos_cli.sparse.policy import COMPUTE, REUSE, SKIP
from tests.sparse.definition import folded, random_conv, random_policy
from tests.sparse.host_gpu import SCHEDULES, HostGPU, needs_compiler
from tests.sparse.test_kernels import assert_close, check_update

pytestmark = needs_compiler

TF32 = 2e-3  # ten bits of fraction
ARITHMETIC = {  # type, compute capability, error allowed as a share of the layer's range; None: as ever
    "fp32": (torch.float32, 70, None),
    "tf32": (torch.float32, 80, TF32),
    "fp16": (torch.float16, 80, None),
    "bf16": (torch.bfloat16, 80, None),
    "fp16 on ordinary cores": (torch.float16, 70, None),
}
KINDS = [(1, 1), (1, 2), (3, 1), (3, 2)]
SIZES = [(1, 1), (2, 3), (9, 13)]
CHANNELS = [(5, 7), (40, 72)]  # element by element; in wide loads, over more than one tile


def cases() -> Iterator[tuple[int, tuple[int, int], tuple[int, int], tuple[int, int], float]]:
    """A seed, (Cin, Cout), (k, stride), (H, W), density."""
    yield from (
        (seed, *case) for seed, case in enumerate(itertools.product(CHANNELS, KINDS, SIZES, [0.0, 0.2, 1.0]))
    )


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("arithmetic", ARITHMETIC)
def test_update(arithmetic: str, schedule: str) -> None:
    dtype, capability, tolerance = ARITHMETIC[arithmetic]
    kernel = CUDAKernel(HostGPU(capability, schedule=schedule).launcher, dense_above=1.0)
    for seed, channels, kind, size, density in cases():
        relu, bias = seed % 2 == 0, seed % 3 > 0
        conv = random_conv(seed, (*channels, *kind), norm=seed % 4 > 0, relu=relu, bias=bias)
        x = torch.randn(2, channels[0], *size)
        policy = random_policy(seed, conv.convolve(x)[:, 0].shape, density)
        check_update(kernel, conv, x, policy, dtype, tolerance)


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("arithmetic", ["fp32", "fp16"])
def test_many_tiles(arithmetic: str, blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """More tiles than blocks: a block goes from one to the next, over several chunks."""
    monkeypatch.setattr("spvos_cli.sparse.kernels.cuda.BLOCKS", blocks)
    dtype, capability, tolerance = ARITHMETIC[arithmetic]
    for schedule in SCHEDULES:
        kernel = CUDAKernel(HostGPU(capability, schedule=schedule).launcher, dense_above=1.0)
        conv, x = random_conv(1, (24, 136, 3, 1), norm=True, relu=True), torch.randn(2, 24, 9, 11)
        check_update(kernel, conv, x, random_policy(1, (2, 9, 11), 0.7), dtype, tolerance)


def channels_last(*tensors: Tensor) -> Iterator[Tensor]:
    return (tensor.contiguous(memory_format=torch.channels_last) for tensor in tensors)


@pytest.mark.parametrize("arithmetic", ARITHMETIC)
@pytest.mark.parametrize(("own", "common"), [(3, 2), (40, 24), (8, 72), (72, 8)])
def test_common_channels(own: int, common: int, arithmetic: str) -> None:
    """Channels that all objects of a frame share, for two frames of three objects."""
    dtype, capability, tolerance = ARITHMETIC[arithmetic]
    kernel = CUDAKernel(HostGPU(capability).launcher, dense_above=1.0)
    for kind in KINDS:
        conv = folded(random_conv(own, (own + common, 12, *kind), norm=True, relu=False))
        conv = conv.to(dtype, memory_format=torch.channels_last)
        x, shared = channels_last(*(torch.randn(n, c, 5, 6).to(dtype) for n, c in ((6, own), (2, common))))
        (output,) = channels_last(torch.randn_like(conv.dense(x, shared)))
        policy = random_policy(own, output[:, 0].shape, 0.4)
        expected = output.float()
        conv.float()
        REFERENCE.update(conv, x.float(), shared.float(), policy, expected)
        conv.to(dtype, memory_format=torch.channels_last)
        kernel.update(conv, x, shared, policy, output)
        assert_close(output, expected, dtype, tolerance)


@pytest.mark.parametrize("arithmetic", ARITHMETIC)
@pytest.mark.parametrize("channels", CHANNELS)
def test_add(channels: tuple[int, int], arithmetic: str) -> None:
    """What is not computed stays as it is, skipped or not; no bias, no ReLU."""
    dtype, capability, tolerance = ARITHMETIC[arithmetic]
    kernel = CUDAKernel(HostGPU(capability).launcher, dense_above=1.0)
    for seed, kind in enumerate(KINDS):
        conv = random_conv(seed, (*channels, *kind), norm=False, relu=True).requires_grad_(False)
        (change,) = channels_last(torch.randn(2, channels[0], 7, 10))
        (output,) = channels_last(torch.randn_like(conv.convolve(change)))
        policy = random_policy(seed, output[:, 0].shape, 0.3)
        expected, found = output.clone(), output.to(dtype)
        REFERENCE.add(conv, change, policy, expected)
        kernel.add(conv.to(dtype, memory_format=torch.channels_last), change.to(dtype), policy, found)
        assert_close(found, expected, dtype, tolerance)
        kept = (policy != COMPUTE).unsqueeze(1).expand_as(found)
        assert torch.equal(found[kept], output.to(dtype)[kept])


@pytest.mark.parametrize("policy", [SKIP, REUSE, COMPUTE, "last pixel"])
@pytest.mark.parametrize("arithmetic", ["fp32", "fp16"])
def test_extremes(policy: int | str, arithmetic: str) -> None:
    dtype, capability, _ = ARITHMETIC[arithmetic]
    policies = torch.full((1, 8, 9), REUSE if policy == "last pixel" else policy, dtype=torch.uint8)
    if policy == "last pixel":
        policies[0, 7, 8] = COMPUTE
    conv = random_conv(3, (6, 4, 3, 1), norm=True, relu=True)
    kernel = CUDAKernel(HostGPU(capability).launcher, dense_above=1.0)
    check_update(kernel, conv, torch.randn(1, 6, 8, 9), policies, dtype)


def test_reuse_touches_nothing() -> None:
    """Not even what cannot be multiplied."""
    conv = folded(random_conv(0, (8, 8, 3, 1), norm=True, relu=True))
    (output,) = channels_last(torch.full((1, 8, 5, 5), float("nan")))
    policy = torch.full((1, 5, 5), REUSE, dtype=torch.uint8)
    policy[0, 2, 2] = COMPUTE
    (x,) = channels_last(torch.randn(1, 8, 5, 5))
    CUDAKernel(HostGPU().launcher, dense_above=1.0).update(conv, x, None, policy, output)
    assert output.isnan().any(dim=1).sum() == 24
    assert output[0, :, 2, 2].isfinite().all()
