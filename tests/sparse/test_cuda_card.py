"""On a real card: the kernels against the definition, in a CUDA graph, without waiting; the whole network."""

from __future__ import annotations

import itertools

import pytest
import torch

from spvos_cli.inference.engine import EngineOptions
from spvos_cli.profiling.figures import profile
from spvos_cli.sparse.kernels import kernel_for
from spvos_cli.sparse.kernels.cuda import CUDAKernel, source_for
from spvos_cli.sparse.kernels.reference import REFERENCE
from tests.sparse.definition import folded, random_conv, random_policy
from tests.sparse.test_cuda_kernels import CHANNELS, KINDS
from tests.sparse.test_kernels import assert_close

TF32 = 2e-3

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here"),
]

DTYPES = [torch.float32, torch.float16, torch.bfloat16]


@pytest.fixture
def kernel() -> CUDAKernel:
    found = kernel_for(torch.device("cuda"), torch.float16)
    assert isinstance(found, CUDAKernel)
    return CUDAKernel(found.launcher, dense_above=1.0)


@pytest.mark.parametrize("allow_tf32", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_update(
    kernel: CUDAKernel, dtype: torch.dtype, allow_tf32: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large maps: thousands of tiles on all multiprocessors."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allow_tf32)
    rounded = dtype == torch.float32 and source_for(kernel.launcher.card.capability, dtype) == "mma.cu"
    for seed, (channels, kind, size, density) in enumerate(
        itertools.product([*CHANNELS, (256, 256)], KINDS, [(1, 1), (9, 13), (120, 216)], [0.0, 0.1, 1.0])
    ):
        conv = folded(random_conv(seed, (*channels, *kind), norm=True, relu=seed % 2 == 0)).cuda()
        x = torch.randn(2, channels[0], *size, device="cuda").to(dtype, memory_format=torch.channels_last)
        output = torch.randn_like(conv.to(dtype).dense(x)).contiguous(memory_format=torch.channels_last)
        policy = random_policy(seed, output[:, 0].shape, density).cuda()
        expected = output.double()
        REFERENCE.update(conv.double(), x.double(), None, policy, expected)
        kernel.update(conv.to(dtype, memory_format=torch.channels_last), x, None, policy, output)
        assert_close(output, expected.float(), dtype, TF32 if rounded else None)


def test_a_graph_follows_its_inputs(kernel: CUDAKernel) -> None:
    """Captured once, and right for other policies: nothing of a launch depends on them."""
    conv = folded(random_conv(0, (64, 64, 3, 1), norm=True, relu=True)).cuda().half()
    conv = conv.to(memory_format=torch.channels_last)
    x = torch.randn(1, 64, 30, 54, device="cuda").half().contiguous(memory_format=torch.channels_last)
    output = torch.zeros_like(x)
    policy = random_policy(0, (1, 30, 54), 0.5).cuda()
    kernel.update(conv, x, None, policy, output)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kernel.update(conv, x, None, policy, output)
    for seed, density in enumerate([0.0, 0.1, 0.9]):
        policy.copy_(random_policy(seed, (1, 30, 54), density))
        expected = output.clone()
        REFERENCE.update(conv, x, None, policy, expected)
        graph.replay()
        assert_close(output, expected.float(), torch.float16)


def test_the_host_never_waits(kernel: CUDAKernel) -> None:
    conv = folded(random_conv(0, (64, 64, 3, 1), norm=True, relu=True)).cuda()
    x = torch.randn(1, 64, 30, 54, device="cuda").contiguous(memory_format=torch.channels_last)
    output, policy = torch.zeros_like(x), random_policy(0, (1, 30, 54), 0.5).cuda()
    kernel.update(conv, x, None, policy, output)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(5):
            kernel.update(conv, x, None, policy, output)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_whole_network_runs() -> None:
    """As `spvos profile --speed --compare dense,triple --device cuda` does."""
    engine = EngineOptions(model="spvos", device="cuda", dtype="fp16")
    result = profile(
        engine,
        params=False,
        flops=False,
        speed=True,
        compare=("dense", "triple"),
        density={"D": 0.1, "Q": 0.3},
        cycles=2,
    )
    assert result["speed"]["triple"]["ms_median"] > 0
