"""The lite network's trunk in integers of 8 bits, against bf16 and fp32: how long its query encoder takes,
how far its features are off, and what J&F is left on the held-out sequences of DAVIS.

    python -m tools.int8 DAVIS [--threads 2] [--weights FILE]

Weights are quantised by output channel, activations by the smallest and largest values that they have on
nine training frames; OpenVINO multiplies what lies between its FakeQuantize nodes in integers.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from openvino import opset13 as op
from torch import Tensor, nn

from spvos_cli.benchmark.in_memory import evaluate
from spvos_cli.data.folders import VideoSequence, davis_sequences
from spvos_cli.data.training_sets import DAVIS_HELD_OUT
from spvos_cli.evaluation.scores import global_scores
from spvos_cli.inference.dense_engine import use_engine
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.model.backends import lite_engine, nodes
from spvos_cli.model.checkpoint import load_checkpoint
from spvos_cli.model.network import VOSNetwork
from spvos_cli.resources import shipped_weights

FRAMES = 9
SIZES = ((480, 864), (320, 320))
Range = tuple[float, float]


def trunk_convolutions(network: VOSNetwork) -> list[nn.Conv2d]:
    """All that become integers, in order."""
    trunk = network.get_submodule("query_encoder.trunk")
    return [module for module in trunk.modules() if isinstance(module, nn.Conv2d)]


@torch.inference_mode()
def activation_ranges(network: VOSNetwork, sequences: list[VideoSequence]) -> list[Range]:
    """The smallest and the largest input of each of the trunk's convolutions."""
    ranges: dict[nn.Module, Range] = {}

    def note(conv: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        low, high = ranges.get(conv, (0.0, 0.0))
        ranges[conv] = min(low, float(inputs[0].min())), max(high, float(inputs[0].max()))

    convolutions = trunk_convolutions(network)
    hooks = [conv.register_forward_pre_hook(note) for conv in convolutions]
    for sequence in sequences[:: len(sequences) // FRAMES][:FRAMES]:
        image = torch.from_numpy(sequence.read_frame(0)).permute(2, 0, 1)[None, :, :480, :848]
        network.encode_query(network.normalize(image / 255))
    for hook in hooks:
        hook.remove()
    return [ranges[conv] for conv in convolutions]


@contextmanager
def quantised(ranges: Mapping[nn.Conv2d, Range]) -> Iterator[None]:
    """Graphs that are built within have these convolutions in integers."""
    dense = nodes.convolution

    def convolution(x: Any, conv: nn.Conv2d, *arguments: Any, **options: Any) -> Any:
        if conv not in ranges:
            return dense(x, conv, *arguments, **options)
        low, high = ranges[conv]
        before, kernel = op.fake_quantize(x, low, high, low, high, 256), nodes.constant(conv.weight)
        most = abs(kernel).max(axis=(1, 2, 3), keepdims=True)
        weight = op.fake_quantize(op.constant(kernel), -most, most, -most, most, 255)
        padding = nodes.same_padding(conv) if isinstance(conv, nodes.SameConv2d) else conv.padding
        geometry = list(conv.stride), [padding[0]] * 2, [padding[1]] * 2, [1, 1]
        if conv.groups > 1:
            grouped = op.reshape(weight, [conv.groups, 1, *kernel.shape[1:]], False)
            y = op.group_convolution(before, grouped, *geometry)
        else:
            y = op.convolution(before, weight, *geometry)
        return op.add(y, nodes.constant(conv.bias).reshape(1, -1, 1, 1))

    nodes.convolution = lite_engine.convolution = convolution
    yield
    nodes.convolution = lite_engine.convolution = dense


def measure(
    network: VOSNetwork, dtype: torch.dtype, threads: int, ranges: list[Range], held_out: list[VideoSequence]
) -> tuple[list[float], Tensor, float]:
    """Milliseconds of the query encoder by size, its features of the last one, and J&F in per cent.

    Args:
        ranges: of the trunk's convolutions that become integers; none: it stays as it is.
    """
    network.for_inference(torch.device("cpu"), dtype)
    with quantised(dict(zip(trunk_convolutions(network), ranges, strict=False))):
        use_engine(network, "openvino", torch.device("cpu"), dtype, threads)
    image = torch.from_numpy(held_out[0].read_frame(0)).permute(2, 0, 1)[None] / 255
    medians = []
    with torch.inference_mode():
        for size in SIZES:
            x, times = network.normalize(nn.functional.interpolate(image, size)).to(dtype), []
            for _ in range(15):
                started = time.perf_counter()
                query = network.encode_query(x)
                times.append(1e3 * (time.perf_counter() - started))
            medians.append(statistics.median(times))
    results = evaluate(held_out, lambda: VideoSegmenter(network), merge_objects=True)
    scores = global_scores([score for result in results for score in result.objects.values()])
    return medians, query.f16.float(), 100 * scores["J&F-Mean"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("davis", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--weights", type=Path, default=shipped_weights("lite"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sequences = davis_sequences(options.davis, 2016, "train")
    held_out = [sequence for sequence in sequences if sequence.name in DAVIS_HELD_OUT]
    learned_from = [each for each in sequences if each not in held_out]
    ranges = activation_ranges(load_checkpoint(options.weights), learned_from)
    print("| trunk | rest | 480x864, ms | 320x320, ms | f16 off by | J&F of five |\n" + "| --- " * 6 + "|")
    exact = None
    for dtype, name in ((torch.float32, "fp32"), (torch.bfloat16, "bf16")):
        for bits in (name, "int8"):
            network = load_checkpoint(options.weights)
            found = measure(network, dtype, options.threads, ranges if bits == "int8" else [], held_out)
            (whole, window), f16, score = found
            exact = f16 if exact is None else exact
            off = float((f16 - exact).norm() / exact.norm())
            print(f"| {bits} | {name} | {whole:.1f} | {window:.1f} | {off:.3f} | {score:.1f} |", flush=True)


if __name__ == "__main__":
    main()
