"""How fast a network is, module by module, without video files around it.

What is timed is a stream with a full memory bank over whole `mem_every` cycles, so that the dense memory
frame, the memory encoder, matching and aggregation count as often as they happen.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from spvos_cli.inference.stream import Stream
from spvos_cli.inference.threads import thread_count
from spvos_cli.model.matching import TopKReadout, top_k_readout
from spvos_cli.model.network import VOSNetwork
from spvos_cli.profiling.blobs import BlobPolicies
from spvos_cli.sparse.kernels import kernel_for
from spvos_cli.sparse.kernels.kernel import Kernel

MODULES = ("encode_query", "encode_memory", "match", "decode")
MEMORY_FRAMES = 10  # in the bank while it is timed


class Workload(NamedTuple):
    """Attributes: width and height in pixels; objects; density of the policies that replace those of the
    gates (which still run), by the letters Q, D and M."""

    width: int = 854
    height: int = 480
    objects: int = 1
    density: Mapping[str, float] = {}


class Timing(NamedTuple):
    """Milliseconds of one frame.

    Attributes:
        total: all of it.
        modules: by module; what is left over is aggregation, padding and bookkeeping.
        sparse: whether gates decided on this frame.
    """

    total: float
    modules: dict[str, float]
    sparse: bool


def now(device: torch.device) -> float:
    """Seconds of a clock; what was started on the device has ended."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class TimedNetwork:
    """A network whose modules add what they take to `spent`, in milliseconds."""

    def __init__(self, network: VOSNetwork) -> None:
        self._network, self._device = network, network.device
        self.spent: dict[str, float] = {}

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._network, name)
        module = name.removesuffix("_step").removesuffix("_rows")
        return self._timed(module, attribute) if module in MODULES else attribute

    def _timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            start = now(self._device)
            result = function(*arguments, **options)
            self.spent[name] = self.spent.get(name, 0.0) + 1e3 * (now(self._device) - start)
            return result

        return call


class Bench:
    """A network on a workload, frame by frame, its memory bank full.

    Args:
        kernel: the backend of gated convolutions; None: this device's.
        read_top_k: how the memory is read, as `VOSNetwork.match` takes it.
        threads: of the CPU, as in `thread_count`.
    """

    def __init__(
        self,
        network: VOSNetwork,
        workload: Workload,
        kernel: Kernel | None = None,
        read_top_k: TopKReadout = top_k_readout,
        threads: int | None = None,
    ) -> None:
        self.network, self.threads = TimedNetwork(network), threads
        self.blobs = BlobPolicies(network, workload.density)
        self.frames = moving_frames(workload, network.device)
        stream = partial(
            Stream,
            cast(VOSNetwork, self.network),  # it has all of one's attributes
            top_k=network.config.top_k,
            max_memory=MEMORY_FRAMES - 1,
            dtype=network.dtype,
            kernel=kernel or kernel_for(network.device, network.dtype),
            inject=self.blobs,
            read_top_k=read_top_k,
        )
        filled = stream(mem_every=1)  # every frame is remembered
        filled.step(self.frames[0], _strips(workload, network.device))
        for frame in range(1, MEMORY_FRAMES):
            filled.step(self.frames[frame % len(self.frames)])
        self.stream = stream(mem_every=network.config.mem_every)
        self.stream.restore(filled.state())
        self.cycle()  # warms up, and gives gated layers their first frame

    def cycle(self) -> list[Timing]:
        """The frames from one memory frame to the next."""
        with thread_count(self.threads, cast(VOSNetwork, self.network)):
            return [self._step() for _ in range(self.stream.mem_every)]

    def _step(self) -> Timing:
        self.blobs.frame += 1
        self.network.spent = {}
        image = self.frames[self.blobs.frame % len(self.frames)]
        start = now(image.device)
        self.stream.step(image)
        total = 1e3 * (now(image.device) - start)
        return Timing(total, self.network.spent, any(run.policies for run in self.stream.runs.values()))


def _strips(workload: Workload, device: torch.device) -> dict[int, Tensor]:
    """Masks (H, W) by id: the objects side by side, over the whole frame."""
    ids = torch.arange(workload.width, device=device) * workload.objects // workload.width
    return {i + 1: (ids == i).float().expand(workload.height, -1) for i in range(workload.objects)}


def moving_frames(workload: Workload, device: torch.device, count: int = 8) -> list[Tensor]:
    """Smooth noise that moves by some pixels a frame: (3, H, W) in [0, 1]."""
    coarse = torch.rand(
        1, 3, workload.height // 16, workload.width // 16, generator=torch.Generator().manual_seed(0)
    )
    image = F.interpolate(coarse, (workload.height, workload.width), mode="bicubic")[0].clamp(0, 1).to(device)
    return [image.roll((2 * t, 4 * t), (1, 2)) for t in range(count)]


def interleaved(benches: Mapping[str, Bench], cycles: int) -> dict[str, list[list[Timing]]]:
    """Cycles of all benches in turn, so that a machine that changes its speed changes it for all."""
    timings: dict[str, list[list[Timing]]] = {name: [] for name in benches}
    for _ in range(cycles):
        for name, bench in benches.items():
            timings[name].append(bench.cycle())
    return timings


def summarize(cycles: list[list[Timing]]) -> dict[str, Any]:
    """Milliseconds a frame: median and 95th percentile over the cycles' means, by module, and of sparse
    frames."""
    means = [statistics.mean(timing.total for timing in cycle) for cycle in cycles]
    frames = [timing for cycle in cycles for timing in cycle]
    sparse = [timing.total for timing in frames if timing.sparse]
    modules = {m: statistics.mean(timing.modules.get(m, 0.0) for timing in frames) for m in MODULES}
    median = statistics.median(means)
    return {
        "ms_median": median,
        "ms_p95": statistics.quantiles(means, n=20)[-1] if len(means) > 1 else median,
        "fps": 1e3 / median,
        "ms_sparse_frame": statistics.median(sparse) if sparse else None,
        "ms_modules": modules,
    }
