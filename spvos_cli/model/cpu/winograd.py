"""3x3 convolutions with 16 multiplications where direct ones take 36, in float32 on a CPU.

Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (CVPR 2016), Section 4.1, F(2x2, 3x3): tiles
of 4x4 pixels, two pixels apart, become 16 matrices with a row for each tile; their products with as many
matrices of weights become tiles of 2x2 output pixels. Where tiles are given, with their borders, those of 4x4
output pixels are made by F(4x4, 3x3), with 36 multiplications where direct ones take 144.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from spvos_cli.model.cpu.products import fast_linear

LEAST_WEIGHTS = 512 * 256  # Cin * Cout: with fewer, making the tiles takes as long as what is saved
LEAST_PIXELS = 1500  # likewise
TILES = 3200  # rows of a product: as many as the processor's cache holds
KERNEL = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])  # G in the paper
TILE_WEIGHTS = 64 * 32  # as LEAST_WEIGHTS, for tiles that are given
# by a tile's edge with its border: B^T, G and A^T in the paper, for input, weights and output; the first and
# the last for lines and columns at once
TRANSFORMS = {
    len(into): (torch.kron(into, into), kernel, torch.kron(out, out))
    for into, kernel, out in (
        (
            torch.tensor([[1.0, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]),
            KERNEL,
            torch.tensor([[1.0, 1, 1, 0], [0, 1, -1, -1]]),
        ),
        (
            torch.tensor(
                [
                    [4.0, 0, -5, 0, 1, 0],
                    [0, -4, -4, 1, 1, 0],
                    [0, 4, -4, -1, 1, 0],
                    [0, -2, -1, 2, 1, 0],
                    [0, 2, -1, -2, 1, 0],
                    [0, 4, 0, -5, 0, 1],
                ]
            ),
            torch.tensor([[6.0, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24,
            torch.tensor(
                [[1.0, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
            ),
        ),
    )
}


def transform_weight(weight: Tensor) -> Tensor | None:
    """(Cout, Cin, 3, 3) -> (4, 4, Cout, Cin) for `winograd_conv2d`; None where that would not pay."""
    pays = weight[:, :, 0, 0].numel() >= LEAST_WEIGHTS and weight.shape[2:] == (3, 3)
    if not pays or weight.dtype != torch.float32 or weight.device.type != "cpu":
        return None
    return torch.einsum("ay,oiyx,bx->aboi", KERNEL, weight, KERNEL).contiguous()


def winograd_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Stride 1, padding 1: (B, Cin, H, W) -> (B, Cout, H, W), channels last.

    Args:
        weight: (4, 4, Cout, Cin), of `transform_weight`.
    """
    batch, _, height, width = x.shape
    down, across = (height + 1) // 2, (width + 1) // 2
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1 + 2 * across - width, 1, 1 + 2 * down - height))
    tiles = x.new_empty(batch, down, 2, across, 2, weight.shape[2])
    band = max(1, TILES // across)
    for image, result in zip(padded, tiles, strict=True):
        for top in range(0, down, band):
            part = result[top : top + band]
            _convolve_band(image[2 * top : 2 * (top + len(part)) + 2], weight, bias, part)
    return tiles.view(batch, 2 * down, 2 * across, -1)[:, :height, :width].permute(0, 3, 1, 2)


def transform_tile_weight(weight: Tensor, edge: int) -> Tensor | None:
    """(Cout, Cin, 3, 3) -> (edge^2, Cin, Cout) for `winograd_tiles`; None where that would not pay."""
    pays = weight[:, :, 0, 0].numel() >= TILE_WEIGHTS and weight.shape[2:] == (3, 3) and edge in TRANSFORMS
    if not pays or weight.dtype != torch.float32 or weight.device.type != "cpu":
        return None
    kernel = TRANSFORMS[edge][1]
    return torch.einsum("ay,oiyx,bx->abio", kernel, weight, kernel).flatten(0, 1).contiguous()


def winograd_tiles(tiles: Tensor, weight: Tensor) -> Tensor:
    """Small images, each with a border of one pixel about what is wanted.

    Args:
        tiles: (N, edge, edge, Cin).
        weight: (edge^2, Cin, Cout), of `transform_tile_weight`.

    Returns:
        (N * (edge - 2)^2, Cout), image by image and line by line.
    """
    count, edge = tiles.shape[:2]
    into, _, out = TRANSFORMS[edge]
    points = tiles.permute(1, 2, 0, 3).reshape(edge * edge, -1)
    products = torch.bmm((into @ points).view(edge * edge, count, -1), weight)
    found = out @ products.flatten(1)
    return found.view(len(found), count, -1).transpose(0, 1).flatten(0, 1)


def _convolve_band(pixels: Tensor, weight: Tensor, bias: Tensor | None, tiles: Tensor) -> None:
    """(2n + 2, 2m + 2, Cin) pixels -> (n, 2, m, 2, Cout) tiles, written."""
    halves = []
    for row, weights in zip(_differences(pixels, 0), weight, strict=True):
        a, b, c, d = (_product(p, w) for p, w in zip(_differences(row, 1), weights, strict=True))
        halves.append((a.add_(b).add_(c), b.sub_(c).sub_(d)))
    for x in range(2):
        a, b, c, d = (half[x] for half in halves)
        if bias is not None:
            b.add_(bias)  # which is in both rows
        torch.add(a.add_(b), c, out=tiles[:, 0, :, x])
        torch.sub(b.sub_(c), d, out=tiles[:, 1, :, x])


def _differences(pixels: Tensor, dim: int) -> tuple[Tensor, ...]:
    """What B^T of the paper makes of every four pixels in a row, two apart."""
    even, odd = (pixels.unfold(dim, 2, 2).select(-1, parity) for parity in range(2))
    tiles = pixels.shape[dim] // 2 - 1
    a, c = even.narrow(dim, 0, tiles), even.narrow(dim, 1, tiles)
    b, d = odd.narrow(dim, 0, tiles), odd.narrow(dim, 1, tiles)
    return a - c, b + c, c - b, b - d


def _product(pixels: Tensor, weight: Tensor) -> Tensor:
    """(n, m, Cin), (Cout, Cin) -> (n, m, Cout), by oneDNN."""
    return fast_linear(pixels.flatten(0, 1), weight, None).view(*pixels.shape[:2], -1)
