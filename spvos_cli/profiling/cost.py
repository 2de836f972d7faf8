"""What a network costs: parameters, and multiply-accumulates of its convolutions, counted from the network
itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spvos_cli.model.layers import pad_to_multiple
from spvos_cli.model.matching import as_rows
from spvos_cli.model.network import LastFrame, Memory, VOSNetwork
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.plan import PARTS, runs_sparsely

MIB = 2**20
STRIDE = 16  # of the grid that is matched


class Size(NamedTuple):
    """Parameters; their MiB in float32 with and without the statistics of batch normalisation."""

    params: int
    params_mib: float
    params_only_mib: float


class LayerCost(NamedTuple):
    """One convolution on one frame.

    Attributes:
        name: in the network.
        part: query_encoder, memory_encoder or decoder.
        pixels: of its output.
        macs: multiply-accumulates where every pixel is computed, plus one for each output that has a bias.
        gate_macs: of its gate, likewise; 0 where a whole module's gate decides, None where none does.
    """

    name: str
    part: str
    pixels: int
    macs: int
    gate_macs: int | None


class Video(NamedTuple):
    """What the cost of a video depends on; width and height in pixels."""

    frames: int
    objects: int
    width: int
    height: int


class Calls(NamedTuple):
    """How often a part runs densely and sparsely."""

    dense: int
    sparse: int


def parameter_size(network: nn.Module) -> Size:
    """Counts parameters and statistics."""
    params = sum(parameter.numel() for parameter in network.parameters())
    statistics = sum(
        buffer.numel()
        for name, buffer in network.named_buffers()
        if name.endswith(("running_mean", "running_var"))
    )
    return Size(params, 4 * (params + statistics) / MIB, 4 * params / MIB)


def layer_costs(network: VOSNetwork, width: int, height: int, objects: int) -> list[LayerCost]:
    """Runs one frame through the network on the meta device, which computes shapes only.

    Args:
        network: its parameters on the meta device, batch normalisation not folded.
    """
    costs: list[LayerCost] = []

    def count(name: str, conv: nn.Conv2d, output: Tensor) -> None:
        gate = conv.gate if isinstance(conv, SparseConv2d) else None
        pixels = output[:, :1].numel()
        gate_macs = None if gate is None else _macs(gate, pixels)
        if isinstance(conv, SparseConv2d) and conv.obeys_module:
            gate_macs = 0
        costs.append(LayerCost(name, name.split(".")[0], pixels, _macs(conv, pixels), gate_macs))

    handles = [
        module.register_forward_hook(lambda module, inputs, output, name=name: count(name, module, output))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    _run_frame(network, width, height, objects)
    for handle in handles:
        handle.remove()
    return costs


def beside_macs(
    network: VOSNetwork, width: int, height: int, objects: int, density: Mapping[str, float]
) -> dict[str, float]:
    """Multiply-accumulates of a frame that the paper leaves out of its columns or hides in them: matching
    (the products of keys, and the values read), and the gates. Averaged as in `cycle_macs`, with a full
    memory.

    Args:
        density: as in `cycle_macs`; where one gate decides for a whole module, D's share is matched.
    """
    config, counted = network.config, cycle_calls(network)
    cells = -(-height // STRIDE) * -(-width // STRIDE)
    key, value = network.matched_channels, objects * config.value_channels
    remembered = cells * (1 + config.max_memory) + config.long_memory
    once = cells * (key * remembered + value * min(config.top_k, cells))
    if network.reads_last_frame:  # in the memory, and once more by itself, with all of its pixels
        once += cells * cells * (2 * key + value)
    shares, sparse = counted["decoder"], 1.0
    gates = sum(
        (cost.gate_macs or 0) * counted[cost.part].sparse
        for cost in layer_costs(network, width, height, objects)
    )
    if network.gate is not None:
        sparse = density.get("D", 1.0)
        convolutions = [module for module in network.gate.modules() if isinstance(module, nn.Conv2d)]
        gates = shares.sparse * sum(objects * _macs(conv, cells) for conv in convolutions)
    matching = once * (shares.dense + sparse * shares.sparse)
    return {"matching": matching / config.mem_every, "gates": gates / config.mem_every}


def _macs(conv: nn.Conv2d, pixels: int) -> int:
    return pixels * (conv.weight.numel() + (0 if conv.bias is None else conv.out_channels))


def _run_frame(network: VOSNetwork, width: int, height: int, objects: int) -> None:
    image, _ = pad_to_multiple(torch.zeros(1, 3, height, width, device="meta"))
    query = network.encode_query(image)
    masks = image.new_zeros(1, objects, *image.shape[2:])
    remembered = as_rows(query.key), as_rows(network.encode_memory(image, query, masks))
    network.decode(network.match(query, Memory(*remembered, LastFrame(*remembered))), query)


def calls(network: VOSNetwork, frames: int) -> dict[str, Calls]:
    """How often each part runs on a video: the query encoder on every frame; the memory encoder, for each
    object, on the memory frames (every frame, where the network reads the previous one), but never on the
    last frame; the decoder on every frame but the first."""
    config = network.config
    memory = [t % config.mem_every == 0 and t < frames - 1 for t in range(frames)]
    sparse = [runs_sparsely(config.strategy, annotated=t == 0, memory_frame=memory[t]) for t in range(frames)]
    remembered = [
        runs_sparsely(config.strategy, annotated=t == 0, memory_frame=True)
        for t in range(frames - 1)
        if memory[t] or network.reads_last_frame
    ]
    needs_previous = config.method != "static"
    runs = {"query_encoder": sparse, "memory_encoder": remembered, "decoder": sparse[1:]}
    return {part: _count(flags, needs_previous=needs_previous) for part, flags in runs.items()}


def _count(sparse: list[bool], *, needs_previous: bool) -> Calls:
    """The first run of a part is dense where the method needs a previous one."""
    later = sum(sparse[1:]) + sum(sparse[:1]) * (not needs_previous)
    return Calls(len(sparse) - later, later)


def cycle_calls(network: VOSNetwork) -> dict[str, Calls]:
    """The same for the frames from one memory frame to the next, in the middle of a video."""
    every = network.config.mem_every
    long, longer = calls(network, 2 * every + 2), calls(network, 3 * every + 2)
    return {
        part: Calls(longer[part].dense - long[part].dense, longer[part].sparse - long[part].sparse)
        for part in long
    }


def mean_macs(network: VOSNetwork, videos: Iterable[Video], density: Mapping[str, float]) -> dict[str, float]:
    """Multiply-accumulates of a frame, averaged over all frames of the videos: by part, and their total.

    Args:
        network: as `layer_costs` takes it.
        density: the share of pixels computed in gated convolutions on sparse frames, by the letters Q, D and
            M; 1 where a letter is missing.

    Raises:
        ValueError: the videos have no frame.
    """
    videos = list(videos)
    frames = sum(video.frames for video in videos)
    if not frames:
        raise ValueError("no frames to average over")
    costs = {frame: layer_costs(network, *frame) for frame in {_frame_of(video) for video in videos}}
    total = dict.fromkeys(PARTS.values(), 0.0)
    for video in videos:
        counted = calls(network, video.frames)
        for part, macs in _by_part(costs[_frame_of(video)], counted, density).items():
            total[part] += macs
    return _per_frame(total, frames)


def cycle_macs(
    network: VOSNetwork, width: int, height: int, objects: int, density: Mapping[str, float]
) -> dict[str, float]:
    """Likewise, averaged over the frames from one memory frame to the next in the middle of a video."""
    costs = layer_costs(network, width, height, objects)
    return _per_frame(_by_part(costs, cycle_calls(network), density), network.config.mem_every)


def _frame_of(video: Video) -> tuple[int, int, int]:
    return video.width, video.height, video.objects


def _by_part(
    costs: Iterable[LayerCost], counted: Mapping[str, Calls], density: Mapping[str, float]
) -> dict[str, float]:
    """All multiply-accumulates of a number of calls."""
    shares = {part: density.get(letter, 1.0) for letter, part in PARTS.items()}
    total = dict.fromkeys(PARTS.values(), 0.0)
    for cost in costs:
        total[cost.part] += _over_calls(cost, counted[cost.part], shares[cost.part])
    return total


def _per_frame(total: Mapping[str, float], frames: int) -> dict[str, float]:
    means = {part: macs / frames for part, macs in total.items()}
    return {**means, "total": sum(means.values())}


def _over_calls(cost: LayerCost, counted: Calls, share: float) -> float:
    if cost.gate_macs is None:
        return cost.macs * (counted.dense + counted.sparse)
    return cost.macs * counted.dense + (cost.gate_macs + share * cost.macs) * counted.sparse
