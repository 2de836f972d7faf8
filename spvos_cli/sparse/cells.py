"""Cells of the grid of stride 16 as lists of pixels: made once a frame and stride, for all objects and
layers."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from spvos_cli.sparse.kernels.cpu import as_pixel_rows, wide


class Tiles(NamedTuple):
    """The pixels of N cells at one stride, each cell with a border of one pixel about it.

    Attributes:
        side: of a cell, in pixels.
        rows: (N * (side + 2)^2,), places in a map (K, C, H, W) as rows of pixels; outside the nearest pixel.
        frame_rows: the same in a map (1, C, H, W) that objects share.
        outside: (M,), which of them lie outside.
        inner: (N * side^2,), places of the cells' own pixels in a map (K, C, H, W).
    """

    side: int
    rows: Tensor
    frame_rows: Tensor
    outside: Tensor
    inner: Tensor

    @classmethod
    def of(cls, cells: Tensor, grid: tuple[int, int], side: int) -> Tiles:
        """cells: (N, 3), object, row and column on a grid of that height and width."""
        near = torch.arange(-1, side + 1, device=cells.device)
        image, y, x = cells.unbind(1)
        height, width = grid[0] * side, grid[1] * side
        ys, xs = y[:, None] * side + near, x[:, None] * side + near
        out = ((ys < 0) | (ys >= height))[:, :, None] | ((xs < 0) | (xs >= width))[:, None]
        frame = ys.clamp(0, height - 1)[:, :, None] * width + xs.clamp(0, width - 1)[:, None]
        rows = frame + (image * height * width)[:, None, None]
        outside = out.flatten().nonzero()[:, 0]
        return cls(side, rows.flatten(), frame.flatten(), outside, rows[:, 1:-1, 1:-1].flatten())

    def gather(self, x: Tensor, *, replicate: bool = False) -> Tensor:
        """(K or 1, C, H, W), channels last -> (N, side + 2, side + 2, C).

        Args:
            replicate: whether pixels outside are those nearest to them, and not 0.
        """
        index = self.frame_rows if x.shape[0] == 1 else self.rows
        rows = as_pixel_rows(x)
        picked = wide(rows).index_select(0, index).view(rows.dtype)
        tiles = picked.view(-1, self.side + 2, self.side + 2, x.shape[1])
        return tiles if replicate else self.without_outside(tiles)

    def without_outside(self, tiles: Tensor) -> Tensor:
        """(N, side + 2, side + 2, C), changed in place: pixels that lie outside are 0."""
        if len(self.outside):
            tiles.view(-1, tiles.shape[3]).index_fill_(0, self.outside, 0)
        return tiles

    def scatter(self, pixels: Tensor, x: Tensor) -> None:
        """Writes (N * side^2, C) into (K, C, H, W), channels last."""
        wide(as_pixel_rows(x)).index_copy_(0, self.inner, wide(pixels))


class CellFiller:
    """Writes values to all pixels of cells, of maps of several sizes.

    Args:
        mask: (K, h, w) bool.
    """

    def __init__(self, mask: Tensor) -> None:
        self._mask, self._pixels = mask, dict[int, Tensor]()
        self._empty = not mask.any()

    def fill(self, x: Tensor, value: Tensor) -> None:
        """x: (K, C, H, W), channels last; H is a multiple of h. value: (C,)."""
        if self._empty:
            return
        scale = x.shape[2] // self._mask.shape[1]
        if scale not in self._pixels:
            fine = self._mask.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2)
            self._pixels[scale] = fine.flatten().nonzero()[:, 0]
        pixels = self._pixels[scale]
        values = value.to(x.dtype).expand(len(pixels), -1).contiguous()
        wide(as_pixel_rows(x)).index_copy_(0, pixels, wide(values))
