"""Where the time of a frame goes, convolution by convolution, against what a matrix product reaches in the
same run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from spvos_cli.model.cpu.products import fast_linear
from spvos_cli.model.network import VOSNetwork
from spvos_cli.profiling.speed import Bench, Workload, now
from spvos_cli.sparse.conv_unit import ConvUnit
from spvos_cli.sparse.kernels import kernel_for
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
    """A backend that notes how long its last call took, in milliseconds; on a GPU until it has ended there,
    what Python takes to start it included."""

    def __init__(self, kernel: Kernel, device: torch.device) -> None:
        self._kernel, self._device = kernel, device
        self.last = 0.0

    def update(
        self, conv: ConvUnit, x: Tensor, shared: Tensor | None, policy: Tensor, output: Tensor
    ) -> None:
        """As `Kernel.update`."""
        with self._noted():
            self._kernel.update(conv, x, shared, policy, output)

    def add(self, conv: ConvUnit, change: Tensor, policy: Tensor, output: Tensor) -> None:
        """As `Kernel.add`."""
        with self._noted():
            self._kernel.add(conv, change, policy, output)

    @contextmanager
    def _noted(self) -> Iterator[None]:
        start = now(self._device)
        yield
        self.last = 1e3 * (now(self._device) - start)


class _Sample(NamedTuple):
    """One run of a convolution; `kernel_ms` and `computed` where it was a sparse one."""

    ms: float
    operations: float
    kernel_ms: float | None = None
    computed: float | None = None


def layer_speeds(network: VOSNetwork, workload: Workload, cycles: int) -> list[LayerSpeed]:
    """Times every convolution of the network over some memory cycles of a workload."""
    kernel = TimedKernel(kernel_for(network.device, network.dtype), network.device)
    bench = Bench(network, workload, kernel)
    samples: dict[str, list[_Sample]] = defaultdict(list)
    with _timed(network, bench, kernel, samples):
        for _ in range(cycles):
            bench.cycle()
    peak = product_peak(network.device, network.dtype)
    return [_fastest(name, found, peak) for name, found in samples.items()]


def product_peak(
    device: torch.device, dtype: torch.dtype, rows: int = 8192, width: int = 2304, columns: int = 256
) -> float:
    """10^9 floating-point operations a second in one large matrix product."""
    a, b = (torch.randn(lines, width).to(device, dtype) for lines in (rows, columns))
    times = []
    for _ in range(6):
        start = now(device)
        fast_linear(a, b, None)
        times.append(now(device) - start)
    return 2e-9 * rows * width * columns / min(times)


@contextmanager
def _timed(
    network: VOSNetwork, bench: Bench, kernel: TimedKernel, samples: dict[str, list[_Sample]]
) -> Iterator[None]:
    started: dict[str, float] = {}
    device = network.device

    def start(name: str) -> None:
        started[name] = now(device)

    def finish(name: str, conv: ConvUnit, output: Tensor) -> None:
        ms = 1e3 * (now(device) - started[name])
        policies = [run.policies[conv] for run in bench.stream.runs.values() if conv in run.policies]
        operations = 2.0 * output[:, :1].numel() * conv.weight.numel()
        if not policies:
            samples[name].append(_Sample(ms, operations))
            return
        computed = (policies[0] == COMPUTE).float().mean().item()
        samples[name].append(_Sample(ms, computed * operations, kernel.last, computed))

    handles = []
    for name, conv in network.named_modules():
        if isinstance(conv, ConvUnit):
            handles.append(conv.register_forward_pre_hook(lambda m, i, name=name: start(name)))
            handles.append(conv.register_forward_hook(lambda m, i, o, name=name: finish(name, m, o)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _fastest(name: str, samples: list[_Sample], peak: float) -> LayerSpeed:
    def fastest(found: list[_Sample]) -> _Sample | None:
        return min(found, key=lambda sample: sample.ms, default=None)

    dense = fastest([sample for sample in samples if sample.computed is None])
    sparse = fastest([sample for sample in samples if sample.computed is not None])
    best = sparse or dense or samples[0]
    gflops = 1e-6 * best.operations / (best.ms if best.kernel_ms is None else best.kernel_ms)
    return LayerSpeed(
        name,
        dense.ms if dense else None,
        sparse.ms if sparse else None,
        sparse.kernel_ms if sparse else None,
        sparse.computed if sparse else None,
        gflops,
        gflops / peak,
    )
