"""What the sparse CUDA kernels should take, on paper: from operations, bytes and launches, for cards that
were not at hand. Nothing here is measured.

`python -m tools.roofline > docs/cuda_roofline.md` renews the page.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
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
from spvos_cli.sparse.plan import gated_convolutions
from spvos_cli.sparse.run import InferenceRun

FRAME, OBJECTS, DENSITY = (864, 480), 2, 0.1
ELEMENT = 2  # bytes: fp16
OWN_LAUNCHES = 3  # the counter is cleared, pixels are listed, pixels are convolved
LAUNCH = 1.5e-6  # seconds from one kernel to the next in a CUDA graph
BANDWIDTH, CUDNN = 0.75, 0.6  # shares of the card's peaks that are assumed to be reached


class GPU(NamedTuple):
    """Peaks from the data sheet, and the share of one that our kernel is assumed to reach.

    Attributes:
        dense: operations a second of cuDNN's kernels, fp16 on tensor cores.
        ours: of the cores that our kernel uses.
        reached: the share of that.
        bandwidth: bytes a second.
        multiprocessors: each makes tiles of its own.
    """

    dense: float
    ours: float
    reached: float
    bandwidth: float
    multiprocessors: int


CARDS = {
    "V100": GPU(125e12, 15.7e12, 0.45, 0.9e12, 80),  # ours: fp32 cores, as tensor cores need 7.5
    "A100": GPU(312e12, 312e12, 0.3, 2.039e12, 108),
    "H100": GPU(989e12, 989e12, 0.18, 3.35e12, 132),  # warp-wide products reach less of its peak
}


class Layer(NamedTuple):
    """A gated convolution on one frame; pixels are those of its output, for all objects."""

    name: str
    in_channels: int
    outputs: int
    size: int
    stride: int
    pixels: int

    @property
    def operations(self) -> float:
        """Of all pixels."""
        return 2 * self.pixels * self.outputs * self.weights

    @property
    def weights(self) -> int:
        """Of one output channel."""
        return self.size**2 * self.in_channels

    @property
    def input_bytes(self) -> int:
        return ELEMENT * self.pixels * self.stride**2 * self.in_channels

    def bytes(self, density: float | None = None) -> float:
        """That have to move: input, weights, output; sparsely also the gate's reading of the input, policies,
        list and as many newly skipped rows as computed ones."""
        weights = ELEMENT * self.weights * self.outputs
        output = ELEMENT * self.pixels * self.outputs
        if density is None:
            return self.input_bytes + weights + output
        gathered = min(self.input_bytes, ELEMENT * density * self.pixels * self.weights)
        gate = self.input_bytes + self.pixels * 4 * 6
        return gate + gathered + weights + 2 * density * output + self.pixels * (1 + 4 * density)


def layers() -> Iterator[Layer]:
    """Of the paper's network with the triple gates of Q, D and M."""
    with torch.device("meta"):
        network = build_model(dataclasses.replace(SPVOS, method="triple", structure="QDM"))
    pixels = {cost.name: cost.pixels for cost in layer_costs(network, *FRAME, OBJECTS)}
    for name, conv in gated_convolutions(network, "QDM", gate_all=False).items():
        shape = conv.in_channels, conv.out_channels, conv.kernel_size[0], conv.stride[0]
        yield Layer(name, *shape, pixels[name])


def dense_seconds(layer: Layer, card: GPU) -> float:
    """With cuDNN, without a gate."""
    arithmetic = layer.operations / (CUDNN * card.dense)
    return LAUNCH + max(arithmetic, layer.bytes() / (BANDWIDTH * card.bandwidth))


def sparse_seconds(layer: Layer, card: GPU, density: float, launches: int) -> float:
    """With a triple gate and our kernels: whole tiles, spread over the multiprocessors."""
    rows = -(-round(density * layer.pixels) // TILE)
    tiles = rows * -(-layer.outputs // TILE)
    rounds = -(-tiles // card.multiprocessors)
    tile_operations = 2 * TILE * TILE * layer.weights
    arithmetic = rounds * tile_operations / (card.reached * card.ours / card.multiprocessors)
    return launches * LAUNCH + max(arithmetic, layer.bytes(density) / (BANDWIDTH * card.bandwidth))


def break_even(layer: Layer, card: GPU, launches: int) -> float | None:
    """The highest density, in percent steps, at which the sparse way is not slower; None: none is."""
    dense = dense_seconds(layer, card)
    paying = [d for d in range(101) if sparse_seconds(layer, card, d / 100, launches) <= dense]
    return max(paying) / 100 if paying else None


class _Launches(TorchDispatchMode):
    """Counts the operations that start a kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view and not func.name().startswith("aten::empty")
        return func(*args, **(kwargs or {}))


class _NoKernel:
    """A backend that does nothing."""

    def update(
        self, conv: ConvUnit, x: Tensor, shared: Tensor | None, policy: Tensor, output: Tensor
    ) -> None:
        pass


@torch.no_grad()
def counted_launches() -> int:
    """Kernels that a triple layer starts on a sparse frame: its gate's, counted as they are dispatched, and
    ours."""
    conv = SparseConv2d(8, 8, 3).requires_grad_(False)
    conv.gate = TripleGate(conv).requires_grad_(False)
    run, x = InferenceRun(_NoKernel()), torch.zeros(1, 8, 4, 4).to(memory_format=torch.channels_last)
    run.begin(sparse=False)
    run.convolve(conv, x, None)
    run.begin(sparse=True)
    with _Launches() as launches:
        run.convolve(conv, x, None)
    return launches.count + OWN_LAUNCHES


def page(launches: int) -> str:
    """Markdown.

    Args:
        launches: of a sparse layer, `counted_launches`.
    """
    rows = list(layers())
    lines = [*introduction(launches), *summary(rows, launches), ""]
    heads = [f"{card} {what}" for card in CARDS for what in ("dense", "sparse", "pays below")]
    columns = ["layer", "Cin-Cout-k-stride", "pixels", "GFLOP", "MB dense", "MB sparse", *heads]
    lines += [row_of(columns), row_of(["---"] + ["---:"] * (len(columns) - 1))]
    return "\n".join([*lines, *(row_of(cells(layer, launches)) for layer in rows), ""])


def introduction(launches: int) -> list[str]:
    width, height = FRAME
    reached = ", ".join(f"{card.reached:.0%} on {name}" for name, card in CARDS.items())
    return [
        "# The CUDA kernels on paper",
        "",
        "Predicted, not measured: no GPU was at hand.",
        "`python -m tools.roofline` writes this page.",
        "",
        f"A frame of {width}x{height} with {OBJECTS} objects, fp16, every layer that the triple gates of",
        f"Q, D and M gate, at a density of {DENSITY:.0%}.",
        f"Times are in microseconds: {1e6 * LAUNCH:g} for each launch (as in a CUDA graph; started one",
        "by one from Python each costs several times that), and the longer of arithmetic and memory.",
        f"cuDNN is assumed to reach {CUDNN:.0%} of a card's peak, memory {BANDWIDTH:.0%}, our kernels",
        f"{reached}; on V100 they use its fp32 cores, and a tile is never split over multiprocessors.",
        f"A dense layer is one launch; a sparse one is {launches}: {OWN_LAUNCHES} are our kernels',",
        "the rest the gate's convolution and elementwise steps. *pays below* is the highest density at",
        "which the sparse way, gate included, is not slower.",
        "`spvos profile --tune` measures on a real card what is assumed here.",
        "",
    ]


def summary(rows: list[Layer], launches: int) -> list[str]:
    """The sums, a line a card."""
    lines = []
    for name, card in CARDS.items():
        dense = sum(dense_seconds(layer, card) for layer in rows)
        sparse = [sparse_seconds(layer, card, DENSITY, launches) for layer in rows]
        paying = sum(s <= dense_seconds(layer, card) for s, layer in zip(sparse, rows, strict=True))
        ours = sum(sparse_seconds(layer, card, DENSITY, OWN_LAUNCHES) for layer in rows)
        lines.append(
            f"- {name}: all {len(rows)} layers dense {1e6 * dense:.0f}, sparse {1e6 * sum(sparse):.0f}"
            f" ({1e6 * ours:.0f} if the gate took no launches of its own); sparse pays in {paying} of them."
        )
    return lines


def cells(layer: Layer, launches: int) -> list[str]:
    shape = f"{layer.in_channels}-{layer.outputs}-{layer.size}-{layer.stride}"
    sizes = (layer.operations / 1e9, layer.bytes() / 1e6, layer.bytes(DENSITY) / 1e6)
    found = [layer.name, shape, str(layer.pixels), *(f"{value:.2f}" for value in sizes)]
    for card in CARDS.values():
        limit = break_even(layer, card, launches)
        times = dense_seconds(layer, card), sparse_seconds(layer, card, DENSITY, launches)
        found += [
            *(f"{1e6 * seconds:.0f}" for seconds in times),
            "never" if limit is None else f"{limit:.0%}",
        ]
    return found


def row_of(texts: list[str]) -> str:
    return f"| {' | '.join(texts)} |"


if __name__ == "__main__":
    print(page(counted_launches()), end="")
