"""Averaging pixels around which nothing changes."""

from __future__ import annotations

import pytest
import torch

from spvos_cli.inference.background import NEAR, like_squares, match_squares
from spvos_cli.model.config import LITE
from spvos_cli.model.encoders import Query
from spvos_cli.model.lite import LiteVOS
from spvos_cli.model.matching import as_map, grid_positions
from spvos_cli.model.network import LastFrame, Memory

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


def test_rows_of_groups_are_those_of_their_pixels() -> None:
    masks = torch.zeros(1, 16 * 11, 16 * 13)
    masks[0, :100, :20] = 1
    squares = like_squares(masks)
    rows = torch.randn(2, len(squares.starts), 5)
    spread = squares.spread(rows)
    for number, group in enumerate(squares.pixels.tensor_split(squares.starts[1:])):
        assert torch.equal(spread[:, group], rows[:, [number]].expand(-1, len(group), -1))


def test_a_square_reads_what_its_pixels_read_where_they_are_alike() -> None:
    """Of the memory exactly, of the frame before with the place of its middle."""
    torch.manual_seed(0)
    network = LiteVOS(LITE).for_inference(torch.device("cpu"), torch.float32)
    height, width = 12, 14
    pixels = height * width
    masks = torch.zeros(1, 16 * height, 16 * width)
    masks[0, :20, :20] = 1
    squares = like_squares(masks)
    assert len(squares.starts) < 0.6 * pixels
    rows = squares.spread(squares.means(3 * torch.randn(1, pixels, LITE.key_channels)))
    value = torch.rand(1, 1, 2 * pixels, LITE.value_channels + 2)
    positions = grid_positions(height, width)
    last = LastFrame(rows, value[:, :, :pixels], positions, positions)
    memory = Memory(torch.randn(1, 2 * pixels, LITE.key_channels), value, last)
    query = Query(as_map(rows, height, width), *[torch.zeros(1)] * 4)
    plain = network.match(query, memory, 20)
    asked = []

    def match_rows(query: Query, memory: Memory) -> torch.Tensor:
        asked.append(query.key.shape)
        return network.match_rows(query, memory, 20)

    merged = match_squares(squares, query, memory, match_rows)
    assert asked == [(1, LITE.key_channels, 1, len(squares.starts))]
    far, near = (merged - plain).abs().chunk(2, dim=2)
    assert far.max() < 1e-5
    alone = squares.weights[squares.pixels.argsort()] == 1
    assert near.flatten(3)[..., alone].max() < 1e-5
    assert near.max() > 0
