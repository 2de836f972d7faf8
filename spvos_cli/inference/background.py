"""Fewer pixels to match: those around which nothing changes are much alike, and matched by their mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from spvos_cli.model.encoders import Query
from spvos_cli.model.matching import as_map, as_rows, grid_positions
from spvos_cli.model.network import Memory, VOSNetwork

ABSENT = 1 / 256  # share of a pixel at stride 16 up to which an object is not in it: one pixel of the frame
FULL = 0.9  # from which on it is all of the pixel
NEAR = 4  # pixels at stride 16 from an object's edge up to which memory stays as it is
FAR = 8  # from which on no edge comes by the next frame


class Squares(NamedTuple):
    """Pixels of a frame at stride 16, line by line, in groups.

    Attributes:
        pixels: (h * w,) int64, group by group.
        starts: (N,) int64, where in them each group begins.
        weights: (h * w,) float32, what each of them counts in its group's mean.
    """

    pixels: Tensor
    starts: Tensor
    weights: Tensor

    def means(self, rows: Tensor) -> Tensor:
        """(..., h * w, C) -> (..., N, C)"""
        weights = self.weights.to(rows.dtype)
        sums = [
            F.embedding_bag(self.pixels, each, self.starts, mode="sum", per_sample_weights=weights)
            for each in rows.flatten(0, -3)
        ]
        return torch.stack(sums).unflatten(0, rows.shape[:-2])

    def spread(self, rows: Tensor) -> Tensor:
        """The groups' rows, for each of their pixels: (..., N, C) -> (..., h * w, C)."""
        lengths = self.starts.diff(append=self.starts.new_tensor([len(self.pixels)]))
        groups = torch.empty_like(self.pixels)
        groups[self.pixels] = torch.repeat_interleave(lengths)
        return rows.index_select(-2, groups)


def match_squares(
    squares: Squares, query: Query, memory: Memory, match_rows: Callable[[Query, Memory], Tensor]
) -> Tensor:
    """The readout of a frame (1, K, C, h, w) whose squares are matched by their mean, as the memory's are.

    Args:
        match_rows: of a network.
    """
    height, width = query.key.shape[2:]
    positions = grid_positions(height, width, query.key.device)
    key = squares.means(as_rows(query.key))
    places = {"positions": positions, "query_positions": squares.means(positions.unsqueeze(0))[0]}
    last = memory.last and memory.last._replace(**places)
    rows = match_rows(query._replace(key=as_map(key, 1, key.shape[1])), memory._replace(last=last))
    return as_map(squares.spread(rows), height, width)


def merges_background(network: VOSNetwork, device: torch.device) -> bool:
    """Whether pixels are merged for matching: on a CPU, where a network bears it. A GPU matches all pixels at
    once in little time, and would have to be waited for to learn how many are left."""
    return network.merges_background and device.type == "cpu"


def like_squares(masks: Tensor, near: int = NEAR) -> Squares:
    """Squares of 2x2 pixels at stride 16 near which each object is everywhere or nowhere; all other pixels by
    themselves.

    Args:
        masks: (K, H, W) in [0, 1], H and W multiples of 16.
        near: up to how many pixels at stride 16.
    """
    # rows first, which is faster than a pooling of squares
    share = masks.unflatten(1, (-1, 16)).mean(dim=2).unflatten(2, (-1, 16)).mean(dim=3)
    edge = 1 - torch.stack([share <= ABSENT, share >= FULL]).float()
    mixed = F.max_pool2d(edge, 2 * near + 1, stride=1, padding=near).amin(dim=0).amax(dim=0)
    alike = F.max_pool2d(mixed[None], 2)[0] == 0  # a last odd row or column is in no square
    down, across = 2 * alike.shape[0], 2 * alike.shape[1]
    first = torch.arange(mixed.numel(), device=masks.device).view_as(mixed)
    corners = enlarged(first[:down:2, :across:2])
    first[:down, :across] = torch.where(enlarged(alike), corners, first[:down, :across])
    pixels = first.flatten().argsort(stable=True)
    lengths = first.flatten().unique(return_counts=True)[1]
    return Squares(pixels, lengths.cumsum(0) - lengths, (1 / lengths).repeat_interleave(lengths))


def enlarged(squares: Tensor) -> Tensor:
    """(h, w) -> (2 h, 2 w)"""
    return squares.repeat_interleave(2, dim=0).repeat_interleave(2, dim=1)
