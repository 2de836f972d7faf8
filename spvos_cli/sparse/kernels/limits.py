"""Tables of the density from which on a convolution is faster densely: by type, by shape, and where it was
measured by the number of images at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping

from spvos_cli.sparse.conv_unit import ConvUnit

Limits = Mapping[str, Mapping[str, float]]  # by type, as "float16", and by shape (`shape_name`)


def shape_name(
    in_channels: int, out_channels: int, kernel_size: int, stride: int, rows: int | None = None
) -> str:
    """How the tables call a convolution, and with `rows` one of so many images, or objects, at a time."""
    name = f"{in_channels}-{out_channels}-{kernel_size}-{stride}"
    return name if rows is None else f"{name}@{rows}"


def limit_of(conv: ConvUnit, limits: Limits, default: float, rows: int = 1) -> float:
    """A convolution's limit, measured with the number of rows that is nearest, by their ratio; the default
    for shapes that were not measured."""
    name = shape_name(conv.in_channels, conv.out_channels, conv.kernel_size[0], conv.stride[0])
    table = limits.get(str(conv.weight.dtype).removeprefix("torch."), {})
    measured = [int(key.rpartition("@")[2]) for key in table if key.startswith(f"{name}@")]
    if not measured:
        return table.get(name, default)
    nearest = min(measured, key=lambda number: abs(math.log(number / rows)))
    return table[f"{name}@{nearest}"]
