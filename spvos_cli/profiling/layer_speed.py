"""Where the time of a frame goes, convolution by convolution, against what a matrix product reaches in the
same run."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spvos_cli.model.cpu.products import fast_linear
from spvos_cli.profiling.speed import Bench
from spvos_cli.sparse.conv_unit import ConvUnit
from spvos_cli.sparse.kernels.kernel import Kernel
from spvos_cli.sparse.policy import COMPUTE


class LayerSpeed(NamedTuple):
    """One convolution; times in milliseconds, the fastest of those measured.

    Attributes:
        name: in the network.
        dense_ms: on a dense frame, with a triple gate's part for the next frame.
        sparse_ms: on a sparse frame; None where it has no gate.
        kernel_ms: of that, what the backend took; the rest is the gate.
        computed: share of pixels computed on that frame.
        gflops: 10^9 floating-point operations a second: of the backend where there is a gate, else of the
            dense frame.
        of_peak: that, as a share of what a large matrix product reaches.
    """

    name: str
    dense_ms: float | None
    sparse_ms: float | None
    kernel_ms: float | None
    computed: float | None
    gflops: float
    of_peak: float


class TimedKernel:
    """A backend that notes how long its last call took."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.last = 0.0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.kernel, name)

        def call(*arguments: Any) -> None:
            start = time.perf_counter()
            method(*arguments)
            self.last = 1e3 * (time.perf_counter() - start)

        return call


class _Sample(NamedTuple):
    ms: float
    kernel_ms: float | None
    computed: float | None
    operations: float


def layer_speeds(bench: Bench, network: nn.Module, cycles: int) -> list[LayerSpeed]:
    """Times every convolution over some memory cycles of a bench that runs the network."""
    kernels = {}
    for run in bench.stream.runs.values():
        run.kernel = kernels[run] = TimedKernel(run.kernel)
    samples: dict[str, list[_Sample]] = defaultdict(list)
    with _timed(network, bench, samples):
        for _ in range(cycles):
            bench.cycle()
    peak = product_peak(next(p for p in network.parameters() if p.ndim == 4).dtype)
    return [_fastest(name, found, peak) for name, found in samples.items()]


def product_peak(dtype: torch.dtype, rows: int = 8192, width: int = 2304, columns: int = 256) -> float:
    """10^9 floating-point operations a second in one large matrix product."""
    a, b = torch.randn(rows, width).to(dtype), torch.randn(columns, width).to(dtype)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        fast_linear(a, b, None)
        times.append(time.perf_counter() - start)
    return 2e-9 * rows * width * columns / min(times)


@contextmanager
def _timed(network: nn.Module, bench: Bench, samples: dict[str, list[_Sample]]) -> Iterator[None]:
    started: dict[str, float] = {}

    def finish(name: str, conv: ConvUnit, output: Tensor) -> None:
        ms = 1e3 * (time.perf_counter() - started[name])
        run = next((run for run in bench.stream.runs.values() if conv in run.policies), None)
        policy = run.policies[conv] if run else None
        computed = None if policy is None else (policy == COMPUTE).float().mean().item()
        pixels = output[:, :1].numel() * (1.0 if computed is None else computed)
        kernel_ms = run.kernel.last if run else None
        samples[name].append(_Sample(ms, kernel_ms, computed, 2 * pixels * conv.weight.numel()))

    handles = []
    for name, conv in network.named_modules():
        if isinstance(conv, ConvUnit):
            handles.append(
                conv.register_forward_pre_hook(
                    lambda m, i, name=name: started.update({name: time.perf_counter()})
                )
            )
            handles.append(conv.register_forward_hook(lambda m, i, o, name=name: finish(name, m, o)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _fastest(name: str, samples: list[_Sample], peak: float) -> LayerSpeed:
    dense, sparse = (
        min((s for s in samples if (s.computed is None) == wanted), key=lambda s: s.ms, default=None)
        for wanted in (True, False)
    )
    best = sparse or dense
    gflops = 1e-6 * best.operations / (best.kernel_ms if sparse else best.ms)
    return LayerSpeed(
        name,
        dense.ms if dense else None,
        sparse.ms if sparse else None,
        sparse.kernel_ms if sparse else None,
        sparse.computed if sparse else None,
        gflops,
        gflops / peak,
    )
