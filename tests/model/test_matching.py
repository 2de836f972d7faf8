"""Matching against its definition."""

from __future__ import annotations

import pytest
import torch

from spvos_cli.model.matching import readout, similarity, top_k_readout


def test_similarity_is_the_negative_squared_distance_up_to_the_query() -> None:
    query, memory = torch.randn(2, 5, 8), torch.randn(2, 7, 8)
    distance = (query[:, :, None] - memory[:, None]).square().sum(dim=3)
    expected = (query.square().sum(dim=2, keepdim=True) - distance) / 8**0.5
    torch.testing.assert_close(similarity(query, memory), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("top_k", [1, 3, 6])
def test_top_k_readout(top_k: int) -> None:
    query, memory, value = torch.randn(1, 600, 8), torch.randn(1, 7, 8), torch.randn(1, 3, 7, 4)
    similarities = similarity(query, memory)
    kept = similarities >= similarities.topk(top_k, dim=2).values[..., -1:]
    expected = readout(similarities.masked_fill(~kept, -torch.inf), value)
    torch.testing.assert_close(top_k_readout(query, memory, value, top_k), expected)


def test_all_of_a_small_memory_is_read() -> None:
    query, memory, value = torch.randn(1, 5, 8), torch.randn(1, 7, 8), torch.randn(1, 2, 7, 4)
    expected = readout(similarity(query, memory), value)
    torch.testing.assert_close(top_k_readout(query, memory, value, top_k=50), expected)
