"""Matching: the query key against every memory key, and the memory values read with what comes out (Section
III-B3). Pixels come before channels here: with channels last that is how features lie in memory."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from spvos_cli.model.cpu.products import fast_linear

ROWS = 512  # query pixels matched at a time
TopKReadout = Callable[[Tensor, Tensor, Tensor, int], Tensor]  # as `top_k_readout`
GROUP = 12  # memory pixels of which the largest similarity is looked for first


def as_rows(features: Tensor) -> Tensor:
    """(..., C, h, w) -> (..., h * w, C), a view where the features are channels last."""
    return features.flatten(-2).transpose(-2, -1)


def as_map(rows: Tensor, height: int, width: int) -> Tensor:
    """(..., height * width, C) -> (..., C, height, width)."""
    return rows.transpose(-2, -1).unflatten(-1, (height, width))


def similarity(query_key: Tensor, memory_key: Tensor) -> Tensor:
    """STCN's negative squared distance, up to a term that the softmax over the memory cancels.

    The paper's Eq. (2) as printed is not what its Eq. (3) and (4) derive from; this is:
    (2 kQ.kM - |kM|^2) / sqrt(Ck).

    Args:
        query_key: (B, L, Ck), memory_key: (B, N, Ck).

    Returns:
        (B, L, N), float32 whatever the keys are, as long as autocast is off.
    """
    query, memory = _with_squares(query_key, memory_key)
    return query @ memory.transpose(1, 2)


def _with_squares(query_key: Tensor, memory_key: Tensor) -> tuple[Tensor, Tensor]:
    """Two matrices whose product is the similarity: |kM|^2 is one more channel, against ones. Added to the
    product it would cost a pass over all pairs."""
    query_key, memory_key = query_key.float(), memory_key.float()
    scale = 1 / math.sqrt(memory_key.shape[2])
    squared = memory_key.square().sum(dim=2, keepdim=True)
    query = torch.cat([query_key, torch.ones_like(query_key[..., :1])], dim=2)
    return query, torch.cat([2 * scale * memory_key, -scale * squared], dim=2)


def readout(similarities: Tensor, memory_value: Tensor) -> Tensor:
    """The memory values, averaged with the softmax of the similarities over the memory (the affinities).

    Args:
        similarities: (B, L, N), memory_value: (B, K, N, Cv).

    Returns:
        (B, K, L, Cv)
    """
    return similarities.softmax(dim=2).to(memory_value.dtype).unsqueeze(1) @ memory_value


def top_k_readout(query_key: Tensor, memory_key: Tensor, memory_value: Tensor, top_k: int) -> Tensor:
    """As `readout` of the similarity, with only the largest affinities of each query pixel (inference).

    Args:
        query_key: (1, L, Ck), memory_key: (1, N, Ck), memory_value: (1, K, N, Cv).

    Returns:
        (1, K, L, Cv)
    """
    query, memory = _with_squares(query_key, memory_key)
    top_k = min(top_k, memory.shape[1])
    memory = F.pad(memory, (0, 0, 0, -memory.shape[1] % GROUP))
    memory[:, memory_key.shape[1] :, -1] = -torch.inf  # padding can never be among the top k
    # in parts, so that the similarities of all pairs are never in memory at once
    largest = [grouped_top_k(fast_linear(part, memory[0], None), top_k) for part in query[0].split(ROWS)]
    values, indices = (torch.cat(parts) for parts in zip(*largest, strict=True))
    affinities = values.softmax(dim=1).to(memory_value.dtype)
    return torch.stack([_weighted_rows(rows, indices, affinities) for rows in memory_value[0]]).unsqueeze(0)


def plain_top_k_readout(query_key: Tensor, memory_key: Tensor, memory_value: Tensor, top_k: int) -> Tensor:
    """The definition of `top_k_readout`, and how STCN's published code reads: with the affinities of all
    pairs, nearly all of them 0."""
    similarities = similarity(query_key, memory_key)
    values, indices = similarities.topk(min(top_k, memory_key.shape[1]), dim=2)
    affinities = torch.zeros_like(similarities).scatter_(2, indices, values.softmax(dim=2))
    return affinities.to(memory_value.dtype).unsqueeze(1) @ memory_value


def grouped_top_k(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """As topk along the second dimension, but faster where k is small: each of the k largest values is in
    one of the k groups with the largest maxima.

    Args:
        values: (L, N), N a multiple of `GROUP`, N >= k.

    Returns:
        Values and indices, (L, k), in no order.
    """
    if k * GROUP > values.shape[1]:
        return values.topk(k, dim=1, sorted=False)
    grid = values.unflatten(1, (GROUP, -1))  # a group is a column, so that maxima are taken of whole rows
    columns = grid.amax(dim=1).topk(k, dim=1, sorted=False).indices
    candidates = grid.gather(2, columns.unsqueeze(1).expand(-1, GROUP, -1)).flatten(1)
    largest, places = candidates.topk(k, dim=1, sorted=False)
    row, column = places // k, columns.gather(1, places % k)  # candidates are k columns of each row
    return largest, row * grid.shape[2] + column


def _weighted_rows(rows: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Sums of chosen rows: (N, C), (L, k), (L, k) -> (L, C)."""
    return F.embedding_bag(indices, rows, per_sample_weights=weights, mode="sum")
