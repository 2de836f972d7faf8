"""Averaging memory pixels that are far from all objects."""

from __future__ import annotations

import pytest
import torch

from spvos_cli.inference.background import NEAR, far_blocks, merge_blocks


@pytest.mark.parametrize(("row", "column"), [(0, 0), (5, 9), (12, 20)])
def test_blocks_are_far_from_every_object(row: int, column: int) -> None:
    """No pixel within reach of one that an object touches is in a block, all others in whole blocks are."""
    masks = torch.zeros(2, 16 * 13, 16 * 21)
    masks[1, 16 * row + 7, 16 * column + 3 : 16 * column + 6] = 1
    blocks = far_blocks(masks)
    assert blocks.shape == (6, 10)
    for y in range(6):
        for x in range(10):
            pixels = [(2 * y + i, 2 * x + j) for i in range(2) for j in range(2)]
            assert blocks[y, x] == all(max(abs(a - row), abs(b - column)) > NEAR for a, b in pixels)


def test_merged_blocks() -> None:
    rows = torch.arange(2 * 15 * 3.0).view(2, 15, 3)  # 3 x 5 pixels
    merged = merge_blocks(rows, torch.tensor([[False, True]]), width=5)
    kept = [0, 1, 4, 5, 6, 9, 10, 11, 12, 13, 14]
    assert torch.equal(merged[:, :-1], rows[:, kept])
    assert torch.equal(merged[:, -1], rows[:, [2, 3, 7, 8]].mean(dim=1))
