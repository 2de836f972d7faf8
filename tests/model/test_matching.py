"""Matching against its definition."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from spvos_cli.model.cpu.nearest import NearestFinder
from spvos_cli.model.matching import (
    GROUP,
    grid_positions,
    grouped_top_k,
    nearby_readout,
    plain_top_k_readout,
    readout,
    similarity,
    top_k_readout,
)


def test_similarity_is_the_negative_squared_distance_up_to_the_query() -> None:
    query, memory = torch.randn(2, 5, 8), torch.randn(2, 7, 8)
    distance = (query[:, :, None] - memory[:, None]).square().sum(dim=3)
    expected = (query.square().sum(dim=2, keepdim=True) - distance) / 8**0.5
    torch.testing.assert_close(similarity(query, memory), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("pixels", "top_k"), [(7, 1), (7, 3), (7, 6), (1003, 5), (1008, 83), (1001, 84)])
def test_top_k_readout(pixels: int, top_k: int) -> None:
    """Also with memories that do not fill their last group."""
    query, memory, value = torch.randn(1, 600, 8), torch.randn(1, pixels, 8), torch.randn(1, 3, pixels, 4)
    similarities = similarity(query, memory)
    kept = similarities >= similarities.topk(top_k, dim=2).values[..., -1:]
    expected = readout(similarities.masked_fill(~kept, -torch.inf), value)
    for function in (top_k_readout, plain_top_k_readout):
        torch.testing.assert_close(function(query, memory, value, top_k), expected)


@pytest.mark.parametrize(("n", "k"), [(10, 1), (10, 2), (10, 10), (GROUP, 11), (GROUP**2, 1), (GROUP**3, 7)])
def test_grouped_top_k(n: int, k: int) -> None:
    """Rows that rise, fall, or have all of their largest values in one group or one column of groups."""
    n = n * GROUP
    rows = torch.stack([torch.randperm(n), torch.arange(n), torch.arange(n).flip(0)]).float()
    rows = torch.cat([rows, rows[1:].unflatten(1, (GROUP, -1)).transpose(1, 2).flatten(1)])
    values, indices = grouped_top_k(rows, k)
    assert torch.equal(values.sort(dim=1, descending=True).values, rows.topk(k, dim=1).values)
    assert torch.equal(rows.gather(1, indices), values)
    assert all(len(set(row.tolist())) == k for row in indices)


def test_top_k_readout_in_bfloat16() -> None:
    """Of the definition's on the same keys and values, within bfloat16's bound: 2e-2 of the values' range."""
    torch.manual_seed(0)  # which of two keys at almost the same distance is read decides about single values
    query, memory = (8 * F.normalize(torch.randn(1, n, 64), dim=2).bfloat16() for n in (300, 2000))
    value = torch.randn(1, 2, 2000, 10).bfloat16()
    expected = plain_top_k_readout(query.float(), memory.float(), value.float(), 50)
    found = top_k_readout(query, memory, value, 50)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=2e-2 * value.abs().max().item(), rtol=0)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-4), (torch.bfloat16, 2e-2)])
def test_nearby_readout(dtype: torch.dtype, error: float) -> None:
    """Also of a frame whose pixels lie elsewhere, far enough out that bfloat16 cannot count them."""
    own, other = grid_positions(9, 13) + 700, grid_positions(11, 6) + 703
    query, memory = (4 * F.normalize(torch.randn(1, len(p), 64), dim=2).to(dtype) for p in (own, other))
    value = torch.randn(1, 3, len(other), 10).to(dtype)
    distance = (own[:, None] - other).square().sum(dim=2)
    expected = readout(similarity(query, memory) - 0.1 * distance, value.float())
    found = nearby_readout(query, memory, value, own, other, torch.tensor(0.1))
    torch.testing.assert_close(found.float(), expected, atol=error * value.abs().max().item(), rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("k", [1, 20, 50])
def test_nearest_of_equal_keys(dtype: torch.dtype, k: int) -> None:
    """Whole frames of one colour have one key: as many are read as are asked for, or all that are equal."""
    key, value = torch.ones(1, 700, 8, dtype=dtype), torch.randn(1, 1, 700, 4)
    found = top_k_readout(key[:, :130], key, value, k)
    assert found.isfinite().all()
    assert (found == found[:, :, :1]).all()


@pytest.mark.parametrize("columns", [5, 300, 1000, 3000])
def test_nearest_finder(columns: int) -> None:
    """Against sorting, with many numbers that are equal; what fills a row is never found."""
    k = min(columns, 7)
    rows = torch.randint(0, 90, (60, columns)).float()
    finder = NearestFinder(k, columns)
    for part in F.pad(rows, (0, finder.width - columns), value=torch.inf).split(25):
        finder.add(part)
    found = finder.found()
    ends = [*found.starts.tolist()[1:], len(found.columns)]
    for row, start, end in zip(rows, found.starts.tolist(), ends, strict=True):
        limit = row.sort().values[k - 1]
        columns_found = found.columns[start:end]
        assert end - start >= k
        assert (row[columns_found] <= limit).all()
        assert (row[columns_found] < limit).sum() == (row < limit).sum()
        assert torch.equal(found.values[start:end], row[columns_found])


def test_all_of_a_small_memory_is_read() -> None:
    query, memory, value = torch.randn(1, 5, 8), torch.randn(1, 7, 8), torch.randn(1, 2, 7, 4)
    expected = readout(similarity(query, memory), value)
    torch.testing.assert_close(top_k_readout(query, memory, value, top_k=50), expected)
