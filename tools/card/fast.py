"""How fast a card is: whole frames, dense and with gates, by model, objects, size and type; and by layer the
density below which sparse wins."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from spvos_cli.inference.engine import EngineOptions
from spvos_cli.model.backends.graphs import put_in
from spvos_cli.model.network import VOSNetwork
from spvos_cli.profiling.blobs import blob_map
from spvos_cli.profiling.break_even import GatedShape, gated_shapes, time_median
from spvos_cli.profiling.engine_speed import LENGTH, measure_engines
from spvos_cli.profiling.speed import Workload
from spvos_cli.profiling.variants import variant
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.gate import TripleGate
from spvos_cli.sparse.kernels import kernel_for
from spvos_cli.sparse.kernels.cuda import CUDAKernel
from spvos_cli.sparse.kernels.precision import use_exact_float32
from spvos_cli.sparse.policy import REUSE
from tests.model.fake_recorder import FakeRecorder
from tools.card.frames import Frames, busy, eager_ms, graph_ms, memory_frame, sparse_frame
from tools.card.steps import Step, emit, main, skip

DENSITY = {"Q": 0.348, "D": 0.0285}  # the paper's
OTHER_DENSITY = {"D": 0.10}  # of lite, and of one gate for all that follows the query encoder
SETTINGS = {  # model, what is gated (nothing: dense)
    "spvos": ("", "D", "QD", "module"),
    "lite": ("", "D", "module"),
}
SIZES = {"480p": (854, 480), "1080p": (1920, 1080)}
TYPES = ("fp16", "tf32", "fp32")


def network_for(model: str, gated: str, dtype: str, device: str) -> VOSNetwork:
    """With random weights where none ship; "tf32" is float32 with it allowed."""
    engine = EngineOptions(model=model, device=device, dtype="fp32" if dtype == "tf32" else dtype)
    if gated:
        gates = {"gate": "module"} if gated == "module" else {"sparse": gated}
        engine = dataclasses.replace(engine, method="triple", **gates)
    network = variant(engine, None if gated else "dense")
    if dtype == "tf32":  # `variant` makes float32 exact
        allow_tf32()
    return network


def allow_tf32() -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    if hasattr(torch.backends.cudnn, "conv"):
        for operation in (torch.backends.cudnn.conv, torch.backends.cudnn.rnn, torch.backends.cuda.matmul):
            operation.fp32_precision = "tf32"


def time_frames(model: str, size: str) -> Callable[[bool], None]:
    """A row for each type, number of objects and what is gated; the dense one first, for the ratio."""

    def run(rehearse: bool) -> None:
        device = torch.device("cpu" if rehearse else "cuda")
        width, height = (96, 64) if rehearse else SIZES[size]
        types = ("fp32",) if rehearse else TYPES
        objects = (1,) if rehearse else (1, 5, 2)
        networks: dict[tuple[str, str], VOSNetwork] = {}
        for dtype, count in itertools.product(types, objects):
            if dtype != "fp16" and count == 5 and not rehearse:
                continue
            dense = None
            for gated in SETTINGS[model]:
                if (dtype, gated) not in networks:
                    networks[dtype, gated] = network_for(model, gated, dtype, device.type)
                network = networks[dtype, gated]
                density = DENSITY if model == "spvos" and gated != "module" else OTHER_DENSITY
                workload = Workload(width, height, count, density)
                frames = Frames(network, workload)
                with torch.inference_mode():
                    ms = eager_ms(frames, device, cycles=1 if rehearse else 4)
                    row = {"eager_ms": ms, **busy(frames, device)}
                    row["graph_ms"] = graph_ms(frames, device, sparse_frame)
                    others = frames if rehearse else Frames(network, workload)
                    row["memory_graph_ms"] = graph_ms(others, device, memory_frame)
                dense = dense or row
                ratios = {
                    f"x_{name}": dense[f"{name}_ms"] / row[f"{name}_ms"]
                    for name in ("eager", "graph")
                    if dense[f"{name}_ms"] and row[f"{name}_ms"]
                }
                emit(
                    model=model,
                    size=size,
                    objects=count,
                    dtype=dtype,
                    gated=gated or "dense",
                    **row,
                    **ratios,
                )

    return run


def time_graphs(rehearse: bool) -> None:
    """What a user gains by `--engine graphs`: the demo clip's frames from arrays to label maps."""
    device = torch.device("cpu" if rehearse else "cuda")
    types = ("fp32",) if rehearse else ("fp16", "fp32")
    length, size = (12, 96) if rehearse else (LENGTH, 480)
    for model in ("lite", "spvos"):

        def load(options: EngineOptions, model: str = model) -> VOSNetwork:
            network = network_for(model, "", options.dtype, device.type)
            if options.engine == "graphs":
                put_in(network, FakeRecorder() if rehearse else None)
            return network

        for dtype, times in measure_engines(device, types, load, length, size).items():
            row = {f"{engine}_ms": ms for engine, ms in times.items()}
            faster = times["torch"] / times["graphs"] if "graphs" in times else None
            emit(model=model, dtype=dtype, **row, faster=faster)


def layer_row(shape: GatedShape, rows: int, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """A layer's milliseconds: densely, its gate, and sparsely at some densities."""
    layout = {"device": device, "dtype": dtype, "memory_format": torch.channels_last}
    conv = SparseConv2d(*shape[:4], relu=True).requires_grad_(False).to(**layout)
    conv.gate = TripleGate(conv).requires_grad_(False).to(**layout)
    x = torch.randn(rows, shape.in_channels, *shape.size).to(**layout)
    output, found = conv.dense(x), kernel_for(device, dtype)
    kernel = CUDAKernel(found.launcher, dense_above=1.0) if isinstance(found, CUDAKernel) else found
    dense = time_median(lambda: conv.dense(x), device)
    halves = conv.gate.halves()
    gate = time_median(lambda: torch.nn.functional.conv2d(x, halves, None, conv.stride, conv.padding), device)
    row: dict[str, Any] = {"layer": "-".join(map(str, shape[:4])), "objects": rows}
    row |= {"dense_us": 1e3 * dense, "gate_us": 1e3 * gate}
    for density in (0.03, 0.1, 0.3):
        policy = blob_map(output.shape[2], output.shape[3], density).clamp(min=REUSE).to(device)
        policy = policy.expand(rows, -1, -1).contiguous()
        row[f"sparse_us@{density}"] = 1e3 * time_median(
            partial(kernel.update, conv, x, None, policy, output), device
        )
    return row


def time_layers(rehearse: bool) -> None:
    """In CUDA graphs, fp16."""
    device = torch.device("cpu" if rehearse else "cuda")
    dtype = torch.float32 if rehearse else torch.float16
    shapes = list(gated_shapes(module=True))
    for shape, rows in itertools.product(shapes[:1] if rehearse else shapes, (1,) if rehearse else (1, 5)):
        with torch.inference_mode():
            emit(**layer_row(shape._replace(size=(8, 8)) if rehearse else shape, rows, dtype, device))


def name_card(rehearse: bool) -> None:
    """Whose figures these are."""
    emit(card="none: a rehearsal" if rehearse else torch.cuda.get_device_name(), torch=torch.__version__)
    if not rehearse:
        use_exact_float32()
        a = torch.randn(8192, 8192, device="cuda", dtype=torch.float16)
        seconds = time_median(lambda: torch.mm(a, a), torch.device("cuda")) / 1e3
        copied = torch.empty(2**29, device="cuda", dtype=torch.uint8)
        target = torch.empty_like(copied)
        copying = time_median(lambda: target.copy_(copied), torch.device("cuda")) / 1e3
        emit(card="ceilings", fp16_tflops=2 * 8192**3 / seconds / 1e12, copy_tb_s=2 * 2**29 / copying / 1e12)


def tune(rehearse: bool) -> None:
    """`spvos profile --tune`, and the file that it writes."""
    if rehearse:
        skip("tuning needs a card")
    command = [sys.executable, "-m", "spvos_cli", "profile", "--tune", "--device", "cuda", "--json"]
    sys.exit(subprocess.run(command).returncode)


STEPS = {
    "card": Step(30, name_card),
    "spvos-480p": Step(80, time_frames("spvos", "480p")),
    "lite-480p": Step(40, time_frames("lite", "480p")),
    "graphs": Step(60, time_graphs),
    "layers": Step(80, time_layers),
    "spvos-1080p": Step(80, time_frames("spvos", "1080p")),
    "lite-1080p": Step(40, time_frames("lite", "1080p")),
    "tune": Step(120, tune),
}

if __name__ == "__main__":
    main("tools.card.fast", STEPS)
