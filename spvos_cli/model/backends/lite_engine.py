"""The lite network's modules in OpenVINO: all of it but matching."""

from __future__ import annotations

import torch
from torch import Tensor

from spvos_cli.model.backends.nodes import (
    GraphInputs,
    Node,
    average,
    channels_first,
    channels_last,
    constant,
    convolution,
    enlarged,
    inverted_residual,
    matrix,
    pointwise,
    residual_block,
    unit,
    unit_length,
)
from spvos_cli.model.backends.openvino import TYPES, Compiled
from spvos_cli.model.backends.telemetry import without_telemetry
from spvos_cli.model.efficientnet import EfficientNetLite, InvertedResidual
from spvos_cli.model.encoders import Query
from spvos_cli.model.layers import sum_of_others, upsample
from spvos_cli.model.lite import (
    LABELS,
    LiteDecoder,
    LiteMemoryEncoder,
    LiteQueryEncoder,
    LiteUpBlock,
    LiteVOS,
)
from spvos_cli.sparse.conv_unit import ConvUnit

with without_telemetry():
    import openvino as ov
    from openvino import opset13 as op


class LiteQueryEngine:
    """As `LiteQueryEncoder` without gates. dtype and threads as in `Compiled`."""

    def __init__(self, encoder: LiteQueryEncoder, dtype: torch.dtype, threads: int) -> None:
        self._compiled = Compiled(_query_graph(encoder, TYPES[dtype][0]), dtype, threads)
        c4, c8, c16 = encoder.trunk.channels
        heads = encoder.project.out_channels, encoder.value.out_channels
        self._outputs = ((16, heads[0]), (16, heads[1]), (16, c16), (8, c8), (4, c4))

    def __call__(self, image: Tensor) -> Query:
        """(B, 3, H, W), normalised, sides multiples of 16."""
        return Query(*self._compiled.features(image, self._outputs))


class LiteTrunkEngine:
    """As `EfficientNetLite`. dtype and threads as in `Compiled`."""

    def __init__(self, trunk: EfficientNetLite, dtype: torch.dtype, threads: int) -> None:
        inputs = GraphInputs(TYPES[dtype][0])
        graph = inputs.graph(_trunk(inputs.features(3), trunk))
        self._compiled = Compiled(graph, dtype, threads)
        self._outputs = tuple(zip((4, 8, 16), trunk.channels, strict=True))

    def __call__(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W), normalised, sides multiples of 16 -> f4, f8, f16"""
        f4, f8, f16 = self._compiled.features(image, self._outputs)
        return f4, f8, f16


class LiteMemoryEngine:
    """As `LiteMemoryEncoder` without gates. dtype and threads as in `Compiled`."""

    def __init__(self, encoder: LiteMemoryEncoder, dtype: torch.dtype, threads: int) -> None:
        self._compiled = Compiled(_memory_graph(encoder, TYPES[dtype][0]), dtype, threads)
        self._channels = encoder.features.out_channels + LABELS

    def __call__(self, f16: Tensor, masks: Tensor) -> Tensor:
        """f16: (1, C, h, w), masks: (1, K, 16 h, 16 w) -> (1, K, Cv + 2, h, w)"""
        labels = torch.stack([masks, sum_of_others(masks)], dim=2)[0]
        height, width = f16.shape[2:]
        patches = labels.to(f16.dtype).unflatten(3, (width, -1)).unflatten(2, (height, -1))
        patches = patches.permute(0, 2, 4, 1, 3, 5).flatten(3)
        shape = (len(labels), height, width, self._channels)
        (value,) = self._compiled([channels_last(f16), patches], [shape])
        return channels_first(value).unsqueeze(0)


class LiteDecoderEngine:
    """As `LiteDecoder` without gates. dtype and threads as in `Compiled`."""

    def __init__(self, decoder: LiteDecoder, dtype: torch.dtype, threads: int) -> None:
        self._compiled = Compiled(_decoder_graph(decoder, TYPES[dtype][0]), dtype, threads)

    def __call__(self, readout: Tensor, query: Query) -> Tensor:
        """readout: (1, K, C, h, w) -> logits (1, K, 16 h, 16 w)"""
        shape = 1, 8 * readout.shape[3], 8 * readout.shape[4]
        shared = [channels_last(x) for x in (query.value, query.f8, query.f4)]
        # one after the other objects stay in the processor's cache
        objects = [channels_last(x) for x in readout[0].split(1)]
        logits = [self._compiled([each, *shared], [(*shape, 1)])[0].view(1, *shape) for each in objects]
        return upsample(torch.cat(logits, dim=1).float(), 2)


def _query_graph(encoder: LiteQueryEncoder, dtype: ov.Type) -> ov.Model:
    inputs = GraphInputs(dtype)
    f4, f8, f16 = _trunk(inputs.features(3), encoder.trunk)
    x = op.concat([unit_length(f16), unit_length(average(f8, 2))], 1)
    first, last = encoder.refine.children()
    assert isinstance(first, ConvUnit)
    assert isinstance(last, ConvUnit)
    direction = unit_length(op.add(unit(x, encoder.project), unit(unit(x, first), last)))
    key = op.multiply(direction, constant(encoder.log_scale.exp()))
    return inputs.graph([key, unit(f16, encoder.value), f16, f8, f4])


def _trunk(x: Node, trunk: EfficientNetLite) -> list[Node]:
    """The features at strides 4, 8 and 16 of an image."""
    x = op.clamp(convolution(x, trunk.stem), 0.0, 6.0)
    features = []
    for stage in trunk.stages.children():
        for block in stage.children():
            assert isinstance(block, InvertedResidual)
            x = inverted_residual(x, block)
        features.append(x)
    return [features[stage] for stage in trunk.taps]


def _memory_graph(encoder: LiteMemoryEncoder, dtype: ov.Type) -> ov.Model:
    inputs = GraphInputs(dtype)
    patch = encoder.identity.weight[0, 0].numel()
    f16, patches = inputs.features(encoder.features.in_channels), inputs.features(LABELS * patch)
    x = op.add(pointwise(patches, encoder.identity), unit(f16, encoder.features))
    x = residual_block(residual_block(x, encoder.block1), encoder.block2)
    means = torch.eye(LABELS).repeat_interleave(patch, dim=1) / patch
    return inputs.graph([op.concat([x, matrix(patches, means)], 1)])


def _decoder_graph(decoder: LiteDecoder, dtype: ov.Type) -> ov.Model:
    inputs = GraphInputs(dtype)
    first = decoder.compress.conv1
    value_channels = decoder.value_channels
    rows, value, f8, f4 = (
        inputs.features(n)
        for n in (
            first.in_channels - value_channels,
            value_channels,
            decoder.up8.skip.in_channels,
            decoder.up4.skip.in_channels,
        )
    )
    halves = op.split(rows, 1, 2).outputs()
    parts = [op.variadic_split(half, 1, [value_channels, LABELS]) for half in halves]
    labels = op.concat([part.output(1) for part in parts], 1)
    x = residual_block(rows, decoder.compress, value)
    x = _up_block(x, decoder.up8, f8, labels)
    x = _up_block(x, decoder.up4, f4)
    logits = op.depth_to_space(unit(op.relu(x), decoder.predict), "depth_first", 2)
    return inputs.graph([logits])  # PyTorch enlarges a single channel five times as fast


def _up_block(x: Node, block: LiteUpBlock, features: Node, labels: Node | None = None) -> Node:
    x = op.add(enlarged(x, 2), unit(features, block.skip))
    if labels is not None and block.labels is not None:
        x = op.add(x, unit(enlarged(labels, 2), block.labels))
    return residual_block(x, block.block)


def put_in(network: LiteVOS, dtype: torch.dtype, threads: int, *, learns: bool) -> None:
    """All modules, each as long as no run decides about its pixels.

    Args:
        network: changed in place.
        dtype: of the arithmetic.
        threads: of the CPU.
        learns: whether the network learns, but for its trunk, which alone is put there.
    """
    encoder = network.query_encoder
    if learns or "Q" in network.gated_parts:
        encoder.trunk_engine = LiteTrunkEngine(encoder.trunk, dtype, threads)
    if learns:
        return
    encoder.engine = LiteQueryEngine(encoder, dtype, threads)
    network.memory_encoder.engine = LiteMemoryEngine(network.memory_encoder, dtype, threads)
    network.decoder.engine = LiteDecoderEngine(network.decoder, dtype, threads)
