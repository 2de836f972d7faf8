"""Measures from which density on a dense convolution is faster, for every gated shape of the networks on this
CPU.

`python -m spvos_cli.profiling.limits > spvos_cli/sparse/kernels/limits.json` renews the table that ships.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch

from spvos_cli.inference.machine import use_threads
from spvos_cli.model.checkpoint import build_model
from spvos_cli.model.config import LITE, SPVOS
from spvos_cli.profiling.blobs import blob_map
from spvos_cli.profiling.cost import layer_costs
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.kernels.cpu import CPUKernel
from spvos_cli.sparse.kernels.limits import shape_name
from spvos_cli.sparse.plan import gated_convolutions
from spvos_cli.sparse.policy import REUSE

DENSITIES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
REPEATS = 7


class Case(NamedTuple):
    """A gated convolution's shape and the (H, W) of its input at 480x854."""

    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    size: tuple[int, int]


def cases() -> Iterator[Case]:
    """The distinct shapes of the paper's network and of the lite one."""
    seen = set()
    for config, structure in ((SPVOS, "QDM"), (LITE, "D")):
        with torch.device("meta"):
            network = build_model(dataclasses.replace(config, method="static", structure=structure))
        outputs = {cost.name: cost.pixels for cost in layer_costs(network, 854, 480, objects=1)}
        for name, conv in gated_convolutions(network, structure, gate_all=False).items():
            height = round((outputs[name] / 1.8) ** 0.5)
            stride = conv.stride[0]
            size = (height * stride, outputs[name] // height * stride)
            case = Case(conv.in_channels, conv.out_channels, conv.kernel_size[0], stride, size)
            if case[:4] not in seen:
                seen.add(case[:4])
                yield case


def limit(case: Case, dtype: torch.dtype) -> float:
    """The density at which both ways take as long, between those that are measured."""
    torch.manual_seed(0)
    conv = (
        SparseConv2d(*case[:4], relu=True).requires_grad_(False).to(dtype, memory_format=torch.channels_last)
    )
    x = torch.randn(1, case.in_channels, *case.size).to(dtype, memory_format=torch.channels_last)
    output = conv.dense(x)
    kernels = CPUKernel(dense_above=1.0), CPUKernel(dense_above=-1.0)
    before, behind = 0.0, -1.0
    for density in DENSITIES:
        policy = blob_map(*output.shape[2:], density)[None].clamp(min=REUSE)
        sparse, dense = (milliseconds(partial(k.update, conv, x, None, policy, output)) for k in kernels)
        if sparse > dense:
            return before + (density - before) * behind / (behind - (sparse / dense - 1))
        before, behind = density, sparse / dense - 1
    return 1.0


def milliseconds(function: Callable[[], None]) -> float:
    """The median of some runs, after one to warm up."""
    function()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


@torch.inference_mode()
def main() -> None:
    use_threads(None)
    table = {
        str(dtype).removeprefix("torch."): {
            shape_name(*case[:4]): round(limit(case, dtype), 3) for case in cases()
        }
        for dtype in (torch.float32, torch.bfloat16)
    }
    json.dump(table, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
