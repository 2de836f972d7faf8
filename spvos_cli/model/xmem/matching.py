"""XMem's similarity: memory pixels say how sharply they are matched, query pixels which channels count
(Section 3.3.1 of its paper).

A key has all that a pixel is matched with, as memory and as query: Ck channels, then its shrinkage, then its
selection, Ck channels again.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class KeyParts(NamedTuple):
    """The parts of keys (..., 2 Ck + 1).

    Attributes:
        key: (..., Ck).
        shrinkage: (..., 1), at least 1: how sharply this pixel is matched once it is in the memory.
        selection: (..., Ck) in [0, 1]: which channels count when it looks into the memory.
    """

    key: Tensor
    shrinkage: Tensor
    selection: Tensor

    @classmethod
    def of(cls, keys: Tensor) -> KeyParts:
        channels = keys.shape[-1] // 2
        return cls(*keys.float().split([channels, 1, channels], dim=-1))


def similarity_factors(query_key: Tensor, memory_key: Tensor) -> tuple[Tensor, Tensor]:
    """Two matrices whose product is the similarity, -s sum_c e_c (kM_c - kQ_c)^2 / sqrt(Ck) with the memory's
    shrinkage s and the query's selection e.

    Args:
        query_key: (..., L, 2 Ck + 1), memory_key: (..., N, 2 Ck + 1).

    Returns:
        (..., L, 2 Ck + 2), (..., N, 2 Ck + 2), float32; the last channel is 1 in the first and 0 in the
        second.
    """
    query, memory = KeyParts.of(query_key), KeyParts.of(memory_key)
    weighted = query.selection * query.key
    squares = (weighted * query.key).sum(dim=-1, keepdim=True)
    scale = memory.shrinkage / math.sqrt(memory.key.shape[-1])
    one = torch.ones_like(squares)
    columns = -scale * memory.key.square(), 2 * scale * memory.key, -scale, torch.zeros_like(scale)
    return torch.cat([query.selection, weighted, squares, one], dim=-1), torch.cat(columns, dim=-1)


def similarity(query_key: Tensor, memory_key: Tensor) -> Tensor:
    """(B, L, 2 Ck + 1), (B, N, 2 Ck + 1) -> (B, L, N), float32 as long as autocast is off."""
    query, memory = similarity_factors(query_key, memory_key)
    return query @ memory.transpose(-2, -1)
