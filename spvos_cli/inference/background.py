"""Fewer memory pixels: those far from all objects are much alike, and matched by the mean of four."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from spvos_cli.model.network import VOSNetwork

COVERED = 1 / 256  # share of a pixel at stride 16 that an object must cover to count: one pixel of the frame
NEAR = 4  # pixels at stride 16 from an object up to which memory stays as it is


def merges_background(network: VOSNetwork, device: torch.device) -> bool:
    """Whether memory pixels are merged: on a CPU, where a network bears it. A GPU matches all pixels at once
    in little time, and would have to be waited for to learn how many are left."""
    return network.merges_background and device.type == "cpu"


def far_blocks(masks: Tensor) -> Tensor:
    """Where 2x2 pixels at stride 16 are far from all objects.

    Args:
        masks: (K, H, W) in [0, 1], H and W multiples of 16.

    Returns:
        (H // 32, W // 32) bool; a last odd row or column is in no block.
    """
    rows = masks.amax(dim=0, keepdim=True).unflatten(1, (-1, 16)).mean(dim=2)
    covered = (rows.unflatten(2, (-1, 16)).mean(dim=3) > COVERED).float()
    near = F.max_pool2d(covered, 2 * NEAR + 1, stride=1, padding=NEAR)
    return F.max_pool2d(near, 2)[0] == 0


def merge_blocks(rows: Tensor, blocks: Tensor, width: int) -> Tensor:
    """Means in the place of blocks.

    Args:
        rows: (..., h * w, C), a frame's pixels at stride 16 line by line.
        blocks: (h // 2, w // 2) bool, as of `far_blocks`.
        width: w.

    Returns:
        (..., N, C): the pixels that are in no such block, then a mean for each block.
    """
    grid = rows.unflatten(-2, (-1, width))
    merged = torch.zeros(grid.shape[-3:-1], dtype=torch.bool, device=rows.device)
    down, across = blocks.shape
    whole = blocks.repeat_interleave(2, dim=0).repeat_interleave(2, dim=1)
    merged[: 2 * down, : 2 * across] = whole
    four = grid[..., : 2 * down, : 2 * across, :].unflatten(-2, (across, 2)).unflatten(-4, (down, 2))
    means = four.float().mean(dim=(-4, -2)).to(rows.dtype).flatten(-3, -2)
    kept, made = (~merged).flatten().nonzero()[:, 0], blocks.flatten().nonzero()[:, 0]
    return torch.cat([rows.index_select(-2, kept), means.index_select(-2, made)], dim=-2)
