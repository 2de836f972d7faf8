"""Averaging memory pixels around which nothing changes."""

from __future__ import annotations

import pytest
import torch

from spvos_cli.inference.background import NEAR, like_squares

HEIGHT, WIDTH = 25, 31  # pixels at stride 16; the last row and column are in no square


@pytest.mark.parametrize(("row", "column"), [(0, 0), (5, 9), (24, 20)])
def test_squares_are_far_from_every_edge(row: int, column: int) -> None:
    """A speck in one object, and another all of which lies to the right: its inside is alike as well."""
    masks = torch.zeros(2, 16 * HEIGHT, 16 * WIDTH)
    masks[1, 16 * row + 7, 16 * column + 3 : 16 * column + 6] = 1
    masks[0, :, 16 * 17 + 8 :] = 1
    squares = like_squares(masks)
    edges = [(row, column), *((y, 17) for y in range(HEIGHT))]
    together = set()
    for y in range(0, HEIGHT - 1, 2):
        for x in range(0, WIDTH - 1, 2):
            pixels = [(y + i, x + j) for i in range(2) for j in range(2)]
            if all(max(abs(a - c), abs(b - d)) > NEAR for a, b in pixels for c, d in edges):
                together.add(tuple(WIDTH * a + b for a, b in pixels))
    groups = [tuple(group.tolist()) for group in squares.pixels.tensor_split(squares.starts[1:])]
    assert sorted(pixel for group in groups for pixel in group) == list(range(HEIGHT * WIDTH))
    assert {group for group in groups if len(group) > 1} == together
    assert any(group[0] % WIDTH > 17 for group in together)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_means(dtype: torch.dtype) -> None:
    """Of whole squares; other pixels stay as they are."""
    masks = torch.zeros(1, 16 * 11, 16 * 13)
    masks[0, :100, :20] = 1
    squares = like_squares(masks)
    rows = torch.randn(2, 3, 11 * 13, 5).to(dtype)
    means = squares.means(rows)
    assert means.shape == (2, 3, len(squares.starts), 5)
    for number, group in enumerate(squares.pixels.tensor_split(squares.starts[1:])):
        expected = rows[:, :, group].float().mean(dim=2).to(dtype)
        torch.testing.assert_close(means[:, :, number], expected)
    assert len(squares.starts) < 11 * 13
