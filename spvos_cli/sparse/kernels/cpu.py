"""The sparse convolution on a CPU: gather the neighbourhoods of the computed pixels, one matrix product,
scatter."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from spvos_cli.model.cpu.products import fast_linear
from spvos_cli.sparse.conv_unit import ConvUnit
from spvos_cli.sparse.kernels.limits import limit_of
from spvos_cli.sparse.kernels.reference import REFERENCE
from spvos_cli.sparse.policy import COMPUTE, SKIP

LIMITS = Path(__file__).with_name("limits.json")
DEFAULT_LIMIT = 0.5  # for shapes that were not measured
GATHERED = 2**26  # bytes of neighbourhoods gathered at a time, at most


class CPUKernel:
    """Features are channels last: a pixel is one contiguous row.

    Args:
        dense_above: density from which to convolve densely; None: as measured (limits.json, made by
            `tools/cpu_limits.py` on two cores of an AMD EPYC with AVX512-BF16).
    """

    def __init__(self, dense_above: float | None = None) -> None:
        self.dense_above = dense_above
        self.limits = json.loads(LIMITS.read_text()) if dense_above is None else {}

    def update(
        self, conv: ConvUnit, x: Tensor, shared: Tensor | None, policy: Tensor, output: Tensor
    ) -> None:
        flat, rows = policy.flatten(), as_pixel_rows(output)
        computed, skipped = ((flat == choice).nonzero().squeeze(1) for choice in (COMPUTE, SKIP))
        if len(skipped):
            wide(rows)[skipped] = wide(conv.skipped().to(rows.dtype).expand(1, -1).contiguous())
        if len(computed) > self._limit(conv) * len(flat):
            dense = as_pixel_rows(channels_last(conv.dense(x, shared)))
            wide(rows).index_copy_(0, computed, wide(dense).index_select(0, computed))
            return
        for part in chunks(computed, conv):
            result = fast_linear(
                gather_all(x, shared, part, policy.shape, conv), weight_rows(conv), conv.bias
            )
            wide(rows).index_copy_(0, part, wide(result.relu_() if conv.relu else result))

    def add(self, conv: ConvUnit, change: Tensor, policy: Tensor, output: Tensor) -> None:
        computed = (policy.flatten() == COMPUTE).nonzero().squeeze(1)
        if len(computed) > self._limit(conv) * policy.numel():
            REFERENCE.add(conv, change, policy, output)
            return
        for part in chunks(computed, conv):
            result = fast_linear(gather_all(change, None, part, policy.shape, conv), weight_rows(conv), None)
            as_pixel_rows(output).index_add_(0, part, result)

    def _limit(self, conv: ConvUnit) -> float:
        return limit_of(conv, self.limits, DEFAULT_LIMIT) if self.dense_above is None else self.dense_above


def chunks(pixels: Tensor, conv: ConvUnit) -> list[Tensor]:
    """Parts whose neighbourhoods have at most GATHERED bytes; none of nothing."""
    row = conv.weight[0].numel() * conv.weight.element_size()
    return list(torch.split(pixels, max(1, GATHERED // row))) if len(pixels) else []


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def as_pixel_rows(x: Tensor) -> Tensor:
    """(B, C, H, W), channels last -> (B * H * W, C), a view; raises RuntimeError where it cannot be one."""
    return x.permute(0, 2, 3, 1).view(-1, x.shape[1])


def wide(rows: Tensor) -> Tensor:
    """The same memory in elements of 16 bytes, where rows are made of such: indexing goes element by
    element."""
    fits = rows.shape[1] * rows.element_size() % 16 == 0 and rows.data_ptr() % 16 == 0
    return rows.view(torch.complex128) if fits else rows


def weight_rows(conv: ConvUnit) -> Tensor:
    """(Cout, k * k * Cin), in the order of a gathered neighbourhood; a view where weights are channels
    last."""
    return conv.weight.permute(0, 2, 3, 1).flatten(1)


def gather_all(x: Tensor, shared: Tensor | None, pixels: Tensor, shape: torch.Size, conv: ConvUnit) -> Tensor:
    """The neighbourhoods of output pixels, row after row, zeros outside: (n, k * k * Cin).

    Args:
        x: (B, C, H, W), channels last.
        shared: None, or the last channels, common to all objects of a frame.
        pixels: (n,) positions in the flattened output.
        shape: (B, H', W') of the output.
    """
    image = pixels.div(shape[1] * shape[2], rounding_mode="floor")
    y = pixels.div(shape[2], rounding_mode="floor") - image * shape[1]
    places = image, y * conv.stride[0], pixels % shape[2] * conv.stride[0]
    gathered = gather(x, *places, conv.kernel_size[0])
    if shared is not None:
        frame = image.div(shape[0] // len(shared), rounding_mode="floor")
        gathered = torch.cat([gathered, gather(shared, frame, *places[1:], conv.kernel_size[0])], dim=2)
    return gathered.flatten(1)


def gather(x: Tensor, image: Tensor, y: Tensor, x0: Tensor, size: int) -> Tensor:
    """Neighbourhoods of (size, size) pixels about the positions (n,) each: (n, size * size, C)."""
    rows = as_pixel_rows(channels_last(x))
    height, width = x.shape[2:]
    center = (image * height + y) * width + x0
    if size == 1:
        return rows.index_select(0, center).unsqueeze(1)
    if len(rows) < 3:
        return _gather_taps(rows, image, y, x0, height, width)
    gathered = _gather_runs(rows, center, width)
    border = ((y == 0) | (y == height - 1) | (x0 == 0) | (x0 == width - 1)).nonzero().squeeze(1)
    if len(border):
        gathered[border] = _gather_taps(rows, image[border], y[border], x0[border], height, width)
    return gathered


def _gather_runs(rows: Tensor, center: Tensor, width: int) -> Tensor:
    """Three pixels side by side are one piece of memory: (n, 9, C), right for pixels that are not at a
    border."""
    channels = rows.shape[1]
    runs = rows.as_strided((len(rows) - 2, 3 * channels), (channels, 1))
    starts = center[:, None] + torch.tensor([-width - 1, -1, width - 1])
    gathered = runs.index_select(0, starts.clamp_(0, len(runs) - 1).flatten())
    return gathered.view(len(center), 9, channels)


def _gather_taps(rows: Tensor, image: Tensor, y: Tensor, x0: Tensor, height: int, width: int) -> Tensor:
    """Pixel by pixel, zeros outside: (n, 9, C)."""
    offsets = torch.arange(-1, 2)
    ys, xs = y[:, None] + offsets, x0[:, None] + offsets
    outside = ((ys < 0) | (ys >= height))[:, :, None] | ((xs < 0) | (xs >= width))[:, None, :]
    index = ((image * height)[:, None] + ys)[:, :, None] * width + xs[:, None, :]
    gathered = rows.index_select(0, index.masked_fill_(outside, 0).flatten())
    gathered[outside.flatten()] = 0
    return gathered.view(len(y), 9, -1)
