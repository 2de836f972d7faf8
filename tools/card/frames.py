"""Whole frames on a card: started from Python, as a CUDA graph, and what the card itself takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from spvos_cli.inference.stream import Stream
from spvos_cli.model.network import VOSNetwork
from spvos_cli.profiling.speed import Bench, Workload
from spvos_cli.sparse.kernels import kernel_for


class Frames:
    """A stream with a full memory, frame by frame, without a clock inside."""

    def __init__(self, network: VOSNetwork, workload: Workload) -> None:
        bench, parameter = Bench(network, workload), next(p for p in network.parameters() if p.ndim == 4)
        self.blobs, self.images = bench.blobs, bench.frames
        self.stream = Stream(
            network,
            top_k=network.config.top_k,
            mem_every=network.config.mem_every,
            max_memory=bench.stream.max_memory,
            dtype=parameter.dtype,
            kernel=kernel_for(parameter.device, parameter.dtype),
            inject=bench.blobs,
        )
        self.stream.restore(bench.stream.state())

    def step(self) -> Tensor:
        """The next frame."""
        self.blobs.frame += 1
        return self.stream.step(self.images[self.blobs.frame % len(self.images)])

    @property
    def next_is_memory(self) -> bool:
        return self.stream.since_memory + 1 >= self.stream.mem_every


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def eager_ms(frames: Frames, device: torch.device, cycles: int) -> float:
    """Milliseconds a frame over whole cycles, started from Python without a wait between frames."""
    found = []
    for _ in range(cycles):
        wait(device)
        start = time.perf_counter()
        for _ in range(frames.stream.mem_every):
            frames.step()
        wait(device)
        found.append(1e3 * (time.perf_counter() - start) / frames.stream.mem_every)
    return statistics.median(found)


def sparse_frame(frames: Frames) -> None:
    """Goes on until a frame that is no memory frame is next, nor one behind such."""
    frames.step()
    while frames.next_is_memory or frames.stream.since_memory == 0:
        frames.step()


def memory_frame(frames: Frames) -> None:
    """Goes on until a memory frame is next."""
    frames.step()
    while not frames.next_is_memory:
        frames.step()


def busy(frames: Frames, device: torch.device) -> dict[str, float]:
    """Of a frame between memory frames: kernels and copies, and milliseconds that they take on the card."""
    if device.type != "cuda":
        return {}
    sparse_frame(frames)
    wait(device)
    activities = [torch.profiler.ProfilerActivity.CUDA, torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities) as profiler:
        frames.step()
        wait(device)
    on_card = [e for e in profiler.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    return {"kernels": len(on_card), "busy_ms": sum(e.time_range.elapsed_us() for e in on_card) / 1e3}


def graph_ms(frames: Frames, device: torch.device, go_on: Callable[[Frames], None]) -> float | None:
    """A frame as a CUDA graph: for the time alone, as what it keeps lies where the graph put it; None where
    it cannot be captured. Nothing can follow.

    Args:
        go_on: to that frame: `sparse_frame` or `memory_frame`.
    """
    go_on(frames)
    if device.type != "cuda":
        return None
    graph, side = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    wait(device)
    try:
        with torch.cuda.graph(graph, stream=side):
            frames.step()
    except RuntimeError as error:
        print(f"no graph: {str(error).splitlines()[0]}", flush=True)
        return None
    return replay_median(graph.replay)


def replay_median(replay: Callable[[], None]) -> float:
    times = []
    for _ in range(20):
        torch.cuda.synchronize()
        start = time.perf_counter()
        replay()
        torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)
