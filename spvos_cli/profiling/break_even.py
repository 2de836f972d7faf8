"""From which density on a dense convolution is faster than a sparse one, for every gated shape of the
networks: measured."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch

from spvos_cli.model.checkpoint import build_model
from spvos_cli.model.config import LITE, SPVOS
from spvos_cli.model.host import host_of
from spvos_cli.profiling.blobs import blob_map
from spvos_cli.profiling.cost import layer_costs
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.kernels.kernel import Kernel
from spvos_cli.sparse.kernels.limits import shape_name
from spvos_cli.sparse.plan import gated_convolutions
from spvos_cli.sparse.policy import REUSE

DENSITIES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
REPEATS = 7
CALLS = 20  # in the CUDA graph that is timed


class GatedShape(NamedTuple):
    """A gated convolution's shape and the (H, W) of its input at 480x854."""

    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    size: tuple[int, int]


def gated_shapes(*, module: bool = False) -> Iterator[GatedShape]:
    """The distinct shapes of all networks.

    Args:
        module: also those that only the gate of a whole module decides about.
    """
    seen = set()
    hosts = [SPVOS, LITE, host_of("xmem").config]
    gated = [
        dataclasses.replace(config, method="static", structure="D" if config is LITE else "QDM")
        for config in hosts
    ]
    if module:
        gated += [dataclasses.replace(config, method="triple", gate="module") for config in hosts]
    for config in gated:
        structure = config.structure
        with torch.device("meta"):
            network = build_model(config)
        outputs = {cost.name: cost.pixels for cost in layer_costs(network, 854, 480, objects=1)}
        for name, conv in gated_convolutions(network, structure, gate_all=False).items():
            height = round((outputs[name] / 1.8) ** 0.5)
            stride = conv.stride[0]
            size = (height * stride, outputs[name] // height * stride)
            case = GatedShape(conv.in_channels, conv.out_channels, conv.kernel_size[0], stride, size)
            if case[:4] not in seen:
                seen.add(case[:4])
                yield case


def break_even_density(
    case: GatedShape,
    dtype: torch.dtype,
    sparse: Kernel,
    dense: Kernel,
    device: torch.device,
    rows: int = 1,
) -> float:
    """The density at which both ways take as long, between those that are measured.

    Args:
        sparse, dense: a backend that never convolves densely, and one that always does.
        rows: images, or objects, at a time.
    """
    torch.manual_seed(0)
    conv = SparseConv2d(*case[:4], relu=True).requires_grad_(False)
    layout: dict[str, Any] = {"device": device, "dtype": dtype, "memory_format": torch.channels_last}
    conv = conv.to(**layout)
    conv.prepare_winograd()
    x = torch.randn(rows, case.in_channels, *case.size)
    x = x.to(**layout)
    output = conv.dense(x)
    before, behind = 0.0, -1.0
    for density in DENSITIES:
        policy = blob_map(output.shape[2], output.shape[3], density).clamp(min=REUSE).to(device)
        policy = policy.expand(rows, -1, -1).contiguous()
        times = [
            time_median(partial(kernel.update, conv, x, None, policy, output), device)
            for kernel in (sparse, dense)
        ]
        if times[0] > times[1]:
            return before + (density - before) * behind / (behind - (times[0] / times[1] - 1))
        before, behind = density, times[0] / times[1] - 1
    return 1.0


def time_median(function: Callable[[], None], device: torch.device) -> float:
    """Milliseconds: the median of some runs, after one to warm up; on a GPU those of the GPU alone."""
    function()
    if device.type == "cuda":
        return _graph_median(function, device)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def _graph_median(function: Callable[[], None], device: torch.device) -> float:
    """From a CUDA graph of some calls: started one by one they would take as long as Python does to start
    them."""
    graph, times = torch.cuda.CUDAGraph(), list[float]()
    torch.cuda.synchronize(device)
    stream = torch.cuda.Stream(device)
    with torch.cuda.stream(stream):  # not torch.cuda.graph, which collects garbage each time
        graph.capture_begin()
        for _ in range(CALLS):
            function()
        graph.capture_end()
    graph.replay()
    for _ in range(REPEATS):
        start, end = timing_event(), timing_event()
        start.record(torch.cuda.current_stream(device))
        graph.replay()
        end.record(torch.cuda.current_stream(device))
        end.synchronize()
        times.append(start.elapsed_time(end) / CALLS)
    return statistics.median(times)


def timing_event() -> Any:
    """`torch.cuda.Event`, which has no types."""
    return torch.cuda.Event(enable_timing=True)


def measure_limits(
    shapes: Iterable[GatedShape],
    dtypes: Iterable[torch.dtype],
    sparse: Kernel,
    dense: Kernel,
    device: torch.device,
    rows: Iterable[int | None] = (None,),
) -> dict[str, dict[str, float]]:
    """Limits by type and shape, as the backends read them.

    Args:
        rows: measured with so many images, or objects, at a time; None: with one, for any number.
    """
    cases = [(case, number) for case in shapes for number in rows]
    return {
        str(dtype).removeprefix("torch."): {
            shape_name(*case[:4], number): round(
                break_even_density(case, dtype, sparse, dense, device, number or 1), 3
            )
            for case, number in cases
        }
        for dtype in dtypes
    }
