"""Tables of the density from which on a convolution is faster densely: by type and by shape."""

from __future__ import annotations

from collections.abc import Mapping

from spvos_cli.sparse.conv_unit import ConvUnit

Limits = Mapping[str, Mapping[str, float]]  # by type, as "float16", and by shape (`shape_name`)


def shape_name(in_channels: int, out_channels: int, kernel_size: int, stride: int) -> str:
    """How the tables call a convolution."""
    return f"{in_channels}-{out_channels}-{kernel_size}-{stride}"


def limit_of(conv: ConvUnit, limits: Limits, default: float) -> float:
    """A convolution's limit; the default for shapes that were not measured."""
    name = shape_name(conv.in_channels, conv.out_channels, conv.kernel_size[0], conv.stride[0])
    return limits.get(str(conv.weight.dtype).removeprefix("torch."), {}).get(name, default)
