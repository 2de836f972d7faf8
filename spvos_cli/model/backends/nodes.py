"""Nodes of OpenVINO's graphs for the modules that networks are made of. Between nodes features are
(B, C, H, W); what goes in and out of a graph has its channels last, as PyTorch's features lie in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from spvos_cli.model.backends.telemetry import without_telemetry
from spvos_cli.model.efficientnet import InvertedResidual, SameConv2d, same_padding
from spvos_cli.model.layers import ResidualBlock
from spvos_cli.sparse.conv_unit import ConvUnit

with without_telemetry():
    import openvino as ov
    from openvino import opset13 as op

Node = Any  # of a graph; OpenVINO's stubs do not say what operations return


class GraphInputs:
    """The inputs of a graph as they are named, all of one type."""

    def __init__(self, dtype: ov.Type) -> None:
        self.dtype = dtype
        self.nodes: list[Node] = []

    def features(self, channels: int) -> Node:
        """An input (B, H, W, channels), any B, H and W."""
        x = op.parameter([-1, -1, -1, channels], self.dtype)
        self.nodes.append(x)
        return op.convert(op.transpose(x, np.array([0, 3, 1, 2])), "f32")

    def graph(self, outputs: Sequence[Node]) -> ov.Model:
        """The graph that ends in these features."""
        last = [op.convert(op.transpose(x, np.array([0, 2, 3, 1])), self.dtype) for x in outputs]
        return ov.Model([op.result(x) for x in last], self.nodes, "spvos")


def channels_last(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H, W, C), without a copy where that is how it lies in memory."""
    return x.permute(0, 2, 3, 1)


def channels_first(x: Tensor) -> Tensor:
    """The inverse of `channels_last`."""
    return x.permute(0, 3, 1, 2)


def constant(x: Tensor) -> Any:
    """A tensor's values."""
    return x.detach().float().cpu().numpy()


def convolution(x: Node, conv: nn.Conv2d, weight: Tensor | None = None, *, bias: bool = True) -> Node:
    """A convolution alone.

    Args:
        weight: instead of its own: some of its input channels.
        bias: whether its bias is added.
    """
    kernel = constant(conv.weight if weight is None else weight)
    if isinstance(conv, SameConv2d):
        before, after = same_padding(conv)
    else:
        assert isinstance(conv.padding[0], int)
        before = after = conv.padding[0]
    geometry = list(conv.stride), [before] * 2, [after] * 2, [1, 1]
    if conv.groups > 1:
        y = op.group_convolution(x, kernel.reshape(conv.groups, 1, *kernel.shape[1:]), *geometry)
    else:
        y = op.convolution(x, kernel, *geometry)
    if conv.bias is None or not bias:
        return y
    return op.add(y, constant(conv.bias).reshape(1, -1, 1, 1))


def matrix(x: Node, weight: Tensor, bias: Tensor | None = None) -> Node:
    """A product with a matrix (Cout, Cin) at each pixel."""
    y = op.convolution(x, constant(weight)[:, :, None, None], [1, 1], [0, 0], [0, 0], [1, 1])
    return y if bias is None else op.add(y, constant(bias).reshape(1, -1, 1, 1))


def pointwise(patches: Node, conv: nn.Conv2d) -> Node:
    """A convolution whose stride is its kernel's size, on patches whose pixels lie in the channels:
    (B, Cin * size^2, h, w)."""
    return matrix(patches, conv.weight.flatten(1), conv.bias)


def unit(x: Node, conv: ConvUnit, shared: Node | None = None) -> Node:
    """A convolution whose normalisation was folded, with its ReLU.

    Args:
        shared: the last of its input channels, of one row where x has one for each object.
    """
    assert conv.norm is None
    if shared is None:
        y = convolution(x, conv)
    else:
        own = x.output(0).get_partial_shape()[1].get_length()
        once = convolution(shared, conv, conv.weight[:, own:])
        y = op.add(convolution(x, conv, conv.weight[:, :own], bias=False), once)
    return op.relu(y) if conv.relu else y


def residual_block(x: Node, block: ResidualBlock, shared: Node | None = None) -> Node:
    """As `ResidualBlock`."""
    identity = x if block.shortcut is None else unit(x, block.shortcut, shared)
    active = None if shared is None else op.relu(shared)
    return op.add(identity, unit(unit(op.relu(x), block.conv1, active), block.conv2))


def inverted_residual(x: Node, block: InvertedResidual) -> Node:
    """As `InvertedResidual`."""
    y = x if block.expand is None else op.clamp(convolution(x, block.expand), 0.0, 6.0)
    y = op.clamp(convolution(y, block.depthwise), 0.0, 6.0)
    y = convolution(y, block.project)
    return op.add(x, y) if block.residual else y


def average(x: Node, size: int) -> Node:
    """The means of squares of pixels."""
    return op.avg_pool(x, [size] * 2, [0, 0], [0, 0], [size] * 2, exclude_pad=True)


def enlarged(x: Node, factor: int) -> Node:
    """As `upsample`."""
    scales, axes = np.array([factor] * 2, np.float32), np.array([2, 3])
    return op.interpolate(x, scales, "linear_onnx", "scales", axes=axes)


def unit_length(x: Node) -> Node:
    """Each pixel's channels, divided by their norm."""
    return op.normalize_l2(x, np.array([1]), 1e-12, "max")
