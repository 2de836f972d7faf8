"""What a frame should take on cards that were not at hand, on paper: from operations, bytes and launches.
Nothing here is measured.

`python -m tools.roofline` renews the prediction in docs/gpu.md.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from spvos_cli.model.checkpoint import build_model
from spvos_cli.model.config import SPVOS
from spvos_cli.profiling.cost import layer_costs
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.conv_unit import ConvUnit
from spvos_cli.sparse.gate import TripleGate
from spvos_cli.sparse.kernels.cuda import TILE
from spvos_cli.sparse.module_gate import CELL, GateView, ModuleGate
from spvos_cli.sparse.policy import argmax_policy
from spvos_cli.sparse.run import InferenceRun

PAGE = Path(__file__).parents[1] / "docs" / "gpu.md"
BEGIN, END = "<!-- predicted: python -m tools.roofline -->\n", "<!-- end of the prediction -->\n"

DENSITY = {"query_encoder": 0.348, "decoder": 0.0285}  # the paper's
MODULE_DENSITY = 0.1  # with one gate for all that comes after the query encoder
SIZES = {"480p": (854, 480), "1080p": (1920, 1080)}
OBJECTS = (1, 5)
MEMORY_FRAMES = 10  # that a query is matched with

OWN_LAUNCHES = 3  # the counter is cleared, a launch decides and lists, one convolves
MODULE_LAUNCHES = 76  # of one gate for a module, and of its lists: `counted_module_launches`
LIST_LAUNCHES = 2  # the counter is cleared, cells are listed
LAUNCH = 1.5e-6  # seconds from one kernel to the next in a CUDA graph
OPERATION, UPDATE = 5e-6, 45e-6  # seconds that Python takes for an operation, and for our kernels of a layer
MATCHING = 14  # operations, and passes over the similarities
BANDWIDTH, CUDNN = 0.75, 0.6  # shares of the card's peaks that are assumed to be reached


class GPU(NamedTuple):
    """Peaks from the data sheet, and the share of one that our kernel is assumed to reach.

    Attributes:
        dense: operations a second of cuDNN's kernels.
        ours: of the cores that our kernel uses.
        reached: the share of that.
        bandwidth: bytes a second.
        multiprocessors: each makes tiles of its own.
        element: bytes of the type.
    """

    dense: float
    ours: float
    reached: float
    bandwidth: float
    multiprocessors: int
    element: int = 2


# fp16 with sums in fp32, which GeForce cards do at half of the rate that is advertised
CARDS = {
    "V100": GPU(125e12, 15.7e12, 0.45, 0.9e12, 80),  # ours: fp32 cores, as tensor cores need 7.5
    "RTX 3060": GPU(25.6e12, 25.6e12, 0.3, 0.36e12, 28),
    "RTX 4090": GPU(165e12, 165e12, 0.25, 1.008e12, 128),
    "A100": GPU(312e12, 312e12, 0.3, 2.039e12, 108),
    "H100": GPU(989e12, 989e12, 0.18, 3.35e12, 132),  # warp-wide products reach less of its peak
}
FP32 = {"V100": 15.7e12, "RTX 3060": 12.7e12, "RTX 4090": 82.6e12, "A100": 19.5e12, "H100": 67e12}


def in_fp32(name: str) -> GPU:
    """A card without TF32: all on its fp32 cores."""
    card = CARDS[name]
    return card._replace(dense=FP32[name], ours=FP32[name], reached=0.45, element=4)


class Layer(NamedTuple):
    """A convolution on one frame; pixels are those of its output, for all objects."""

    name: str
    in_channels: int
    outputs: int
    size: int
    stride: int
    pixels: int
    gated: bool = True

    @property
    def operations(self) -> float:
        """Of all pixels."""
        return 2 * self.pixels * self.outputs * self.weights

    @property
    def weights(self) -> int:
        """Of one output channel."""
        return self.size**2 * self.in_channels

    def bytes(self, element: int, density: float | None = None, *, gate: bool = True) -> float:
        """That have to move: input, weights, output; sparsely also a gate's reading of the input, policies,
        list and as many newly skipped rows as computed ones.

        Args:
            element: bytes of the type.
        """
        inputs = element * self.pixels * self.stride**2 * self.in_channels
        weights = element * self.weights * self.outputs
        output = element * self.pixels * self.outputs
        if density is None:
            return inputs + weights + output
        gathered = min(inputs, element * density * self.pixels * self.weights)
        read = inputs + self.pixels * 4 * 6 if gate else 0
        return read + gathered + weights + 2 * density * output + self.pixels * (1 + 4 * density)


@functools.cache
def layers(size: tuple[int, int], objects: int) -> tuple[Layer, ...]:
    """The convolutions of a frame that is no memory frame, those of the paper's network with gates in the
    query encoder and the decoder."""
    with torch.device("meta"):
        network = build_model(dataclasses.replace(SPVOS, method="triple", structure="QD"))
    found = []
    for cost in layer_costs(network, *size, objects):
        conv = network.get_submodule(cost.name)
        if cost.part in DENSITY and isinstance(conv, ConvUnit):
            shape = conv.in_channels, conv.out_channels, conv.kernel_size[0], conv.stride[0]
            found.append(Layer(cost.name, *shape, cost.pixels, cost.gate_macs is not None))
    return tuple(found)


def dense_seconds(layer: Layer, card: GPU) -> float:
    """With cuDNN, without a gate."""
    arithmetic = layer.operations / (CUDNN * card.dense)
    return LAUNCH + max(arithmetic, layer.bytes(card.element) / (BANDWIDTH * card.bandwidth))


def sparse_seconds(layer: Layer, card: GPU, density: float, launches: int, *, gate: bool = True) -> float:
    """With our kernels, and a gate of its own: whole tiles, spread over the multiprocessors."""
    rows = -(-round(density * layer.pixels) // TILE)
    tiles = rows * -(-layer.outputs // TILE)
    rounds = -(-tiles // card.multiprocessors)
    tile_operations = 2 * TILE * TILE * layer.weights
    arithmetic = rounds * tile_operations / (card.reached * card.ours / card.multiprocessors)
    moved = layer.bytes(card.element, density, gate=gate)
    return launches * LAUNCH + max(arithmetic, moved / (BANDWIDTH * card.bandwidth))


def break_even(layer: Layer, card: GPU, launches: int) -> float | None:
    """The highest density, in percent steps, at which the sparse way is not slower; None: none is."""
    dense = dense_seconds(layer, card)
    paying = [d for d in range(101) if sparse_seconds(layer, card, d / 100, launches) <= dense]
    return max(paying) / 100 if paying else None


class Frame(NamedTuple):
    """Seconds of a frame that is no memory frame: of the card alone, as in a CUDA graph, and started from
    Python, which is as long as the longer of the card's and Python's."""

    graph: float
    eager: float


def matching_seconds(size: tuple[int, int], card: GPU) -> float:
    """Similarities of all pairs in fp32, passed over some times."""
    pixels = -(-size[0] // 16) * -(-size[1] // 16)
    similarities = 4 * pixels * pixels * MEMORY_FRAMES
    return MATCHING * LAUNCH + 4 * similarities / (BANDWIDTH * card.bandwidth)


def frame(size: tuple[int, int], objects: int, card: GPU, gated: str, launches: int) -> Frame:
    """On a card.

    Args:
        gated: "" dense, "D" or "QD" with a gate for each convolution, "module" one for all after the query
            encoder.
        launches: kernels that a gated layer starts.
    """
    on_card, in_python = matching_seconds(size, card), MATCHING * OPERATION
    if gated == "module":
        on_card += MODULE_LAUNCHES * LAUNCH
        in_python += MODULE_LAUNCHES * OPERATION
    parts = {"query_encoder": "Q" in gated, "decoder": "D" in gated}
    for layer in layers(size, objects):
        part = layer.name.partition(".")[0]
        if gated == "module" and part == "decoder":
            on_card += sparse_seconds(layer, card, MODULE_DENSITY, launches=1, gate=False)
            in_python += UPDATE
        elif layer.gated and parts[part]:
            on_card += sparse_seconds(layer, card, DENSITY[part], launches)
            in_python += (launches - OWN_LAUNCHES) * OPERATION + UPDATE
        else:
            on_card += dense_seconds(layer, card)
            in_python += 2 * OPERATION
    return Frame(on_card, max(on_card, in_python))


class _Launches(TorchDispatchMode):
    """Counts the operations that start a kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view and not func.name().startswith("aten::empty")
        return func(*args, **(kwargs or {}))


class _NoKernel:
    """A backend that does nothing, and decides in its own way."""

    def decide(self, *arguments: object) -> bool:
        return True

    def update(
        self, conv: ConvUnit, x: Tensor, shared: Tensor | None, policy: Tensor, output: Tensor
    ) -> None:
        pass


@torch.no_grad()
def counted_launches() -> int:
    """Kernels that a triple layer starts on a sparse frame: its gate's, counted as they are dispatched, and
    ours."""
    conv = SparseConv2d(8, 8, 3).requires_grad_(False)
    gate = conv.gate = TripleGate(conv).requires_grad_(False)
    gate.join_halves()
    run, x = InferenceRun(_NoKernel()), torch.zeros(1, 8, 4, 4).to(memory_format=torch.channels_last)
    run.begin(sparse=False)
    run.convolve(conv, x, None)
    run.begin(sparse=True)
    with _Launches() as launches:
        run.convolve(conv, x, None)
    return launches.count + OWN_LAUNCHES


@torch.no_grad()
def counted_module_launches() -> int:
    """Kernels that one gate for a module starts on a sparse frame, before the layers: those that decide, and
    those that list cells, for the objects and for the frame."""
    gate, key, cells = ModuleGate(8), torch.zeros(1, 8, 4, 4), torch.zeros(1, 4, 4)
    view = GateView(key, key, torch.zeros(1, 4 * CELL, 4 * CELL), cells.byte(), cells)
    with _Launches() as launches:
        argmax_policy(gate(view))
    return launches.count + 2 * LIST_LAUNCHES


def prediction(launches: int) -> str:
    """Markdown: a row for each card, size and number of objects."""
    columns = [
        "card",
        "size",
        "objects",
        "fp16 dense, ms",
        "D",
        "QD",
        "module",
        "D, graph",
        "QD, graph",
        "module, graph",
    ]
    columns += ["fp32 dense, ms", "D", "QD", "module", "module, graph"]
    decoder, encoder = DENSITY["decoder"], DENSITY["query_encoder"]
    lines = [
        "**Predicted, not measured.** The ResNet-50 network, a frame between memory frames; gates that",
        f"compute {decoder:.2%} of the pixels in D, {encoder:.1%} in Q, as the paper's; *module*: one",
        f"gate for all after the query encoder, {MODULE_DENSITY:.0%}. Dense: milliseconds of the card.",
        "Others: how many times as fast as dense, both started from Python or both in a CUDA graph; below 1",
        "dense is faster.",
        f"A gated layer starts {launches} kernels, {OWN_LAUNCHES} of them ours; a module's gate",
        f"{MODULE_LAUNCHES}, and each of its layers one.",
        "",
        row_of(columns),
        row_of(["---"] + ["---:"] * (len(columns) - 1)),
    ]
    for name in CARDS:
        for size in SIZES:
            lines += [row_of(cells(name, size, objects, launches)) for objects in OBJECTS]
    return "\n".join([*lines, ""])


def cells(name: str, size: str, objects: int, launches: int) -> list[str]:
    def frames(card: GPU) -> dict[str, Frame]:
        return {g: frame(SIZES[size], objects, card, g, launches) for g in ("", "D", "QD", "module")}

    def ratio(found: dict[str, Frame], gated: str, way: str) -> str:
        return f"{getattr(found[''], way) / getattr(found[gated], way):.2f}"

    half, single = frames(CARDS[name]), frames(in_fp32(name))
    texts = [name, size, str(objects), f"{1e3 * half[''].graph:.2f}"]
    texts += [ratio(half, gated, "eager") for gated in ("D", "QD", "module")]
    texts += [ratio(half, gated, "graph") for gated in ("D", "QD", "module")]
    texts += [
        f"{1e3 * single[''].graph:.2f}",
        *(ratio(single, gated, "eager") for gated in ("D", "QD", "module")),
    ]
    return [*texts, ratio(single, "module", "graph")]


def row_of(texts: list[str]) -> str:
    return f"| {' | '.join(texts)} |"


def renewed(page: str, launches: int) -> str:
    """The page with the prediction of now."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}{prediction(launches)}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(), counted_launches()))
