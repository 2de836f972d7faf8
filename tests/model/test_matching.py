"""Matching against its definition."""

from __future__ import annotations

import pytest
import torch

from spvos_cli.model.matching import (
    GROUP,
    grouped_top_k,
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


@pytest.mark.parametrize("k", [1, 2, 10, 11, 120])
def test_grouped_top_k(k: int) -> None:
    """Rows that rise, fall, or have all of their largest values in one group or one column of groups."""
    n = 10 * GROUP
    rows = torch.stack([torch.randperm(n), torch.arange(n), torch.arange(n).flip(0)]).float()
    rows = torch.cat([rows, rows[1:].unflatten(1, (GROUP, -1)).transpose(1, 2).flatten(1)])
    values, indices = grouped_top_k(rows, k)
    assert torch.equal(values.sort(dim=1, descending=True).values, rows.topk(k, dim=1).values)
    assert torch.equal(rows.gather(1, indices), values)
    assert all(len(set(row.tolist())) == k for row in indices)


def test_all_of_a_small_memory_is_read() -> None:
    query, memory, value = torch.randn(1, 5, 8), torch.randn(1, 7, 8), torch.randn(1, 2, 7, 4)
    expected = readout(similarity(query, memory), value)
    torch.testing.assert_close(top_k_readout(query, memory, value, top_k=50), expected)
