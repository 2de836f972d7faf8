"""The query encoder of the paper's network in OpenVINO."""

from __future__ import annotations

import torch
from torch import Tensor

from spvos_cli.model.backends.nodes import GraphInputs, Node, unit
from spvos_cli.model.backends.openvino import TYPES, Compiled
from spvos_cli.model.backends.telemetry import without_telemetry
from spvos_cli.model.encoders import Query, QueryEncoder
from spvos_cli.model.network import SpVOS
from spvos_cli.model.resnet import Bottleneck, ResNet

with without_telemetry():
    import openvino as ov
    from openvino import opset13 as op


class ResNetQueryEngine:
    """As `QueryEncoder` without gates. dtype and threads as in `Compiled`."""

    def __init__(self, encoder: QueryEncoder, dtype: torch.dtype, threads: int) -> None:
        self._compiled = Compiled(_graph(encoder, TYPES[dtype][0]), dtype, threads)
        heads = encoder.key.out_channels, encoder.value.out_channels
        self._outputs = ((16, heads[0]), (16, heads[1]), (16, 1024), (8, 512), (4, 256))

    def __call__(self, image: Tensor) -> Query:
        """(B, 3, H, W), normalised, sides multiples of 16."""
        return Query(*self._compiled.features(image, self._outputs))


def _graph(encoder: QueryEncoder, dtype: ov.Type) -> ov.Model:
    inputs = GraphInputs(dtype)
    f4, f8, f16 = _resnet(inputs.features(3), encoder.trunk)
    return inputs.graph([unit(f16, encoder.key), unit(f16, encoder.value), f16, f8, f4])


def _resnet(image: Node, trunk: ResNet) -> list[Node]:
    """The outputs of its stages."""
    x = op.max_pool(unit(image, trunk.stem), [2, 2], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)
    features = []
    for stage in trunk.stages.children():
        for block in stage.children():
            assert isinstance(block, Bottleneck)
            identity = x if block.shortcut is None else unit(x, block.shortcut)
            x = op.relu(op.add(identity, unit(unit(unit(x, block.conv1), block.conv2), block.conv3)))
        features.append(x)
    return features


def put_in(network: SpVOS, dtype: torch.dtype, threads: int, *, learns: bool) -> None:
    """The query encoder; `network` is changed in place."""
    network.query_encoder.engine = ResNetQueryEngine(network.query_encoder, dtype, threads)
