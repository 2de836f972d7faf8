"""Matching: the query key against every memory key, and the memory values read with what comes out (Section
III-B3). Pixels come before channels here: with channels last that is how features lie in memory."""

from __future__ import annotations

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from spvos_cli.model.cpu.nearest import Nearest, NearestFinder, weighted_sums

ROWS, CUDA_ROWS = 64, 4096  # query pixels matched at a time, on each thread of a CPU at least, and on a GPU
PAIRS = 2**19  # pixels of which a CPU's cache holds the similarities
GROUP = 6  # memory pixels of which the largest similarity is looked for first
ALIGNED = 8  # channels of which libraries multiply whole vectors
BFLOAT16_PARTS = 3  # of a number, which together have float32's precision


class TopKReadout(Protocol):
    """As `top_k_readout`."""

    def __call__(
        self,
        query_key: Tensor,
        memory_key: Tensor,
        memory_value: Tensor,
        top_k: int,
        usage: Tensor | None = None,
        /,
    ) -> Tensor: ...


def as_rows(features: Tensor) -> Tensor:
    """(..., C, h, w) -> (..., h * w, C), a view where the features are channels last."""
    return features.flatten(-2).transpose(-2, -1)


def as_map(rows: Tensor, height: int, width: int) -> Tensor:
    """(..., height * width, C) -> (..., C, height, width)."""
    return rows.transpose(-2, -1).unflatten(-1, (height, width))


def grid_positions(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Rows and columns of the pixels of a map, as `as_rows` orders them: (height * width, 2) float32."""
    axes = (torch.arange(n, dtype=torch.float32, device=device) for n in (height, width))
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=2).flatten(0, 1)


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


def top_k_readout(
    query_key: Tensor, memory_key: Tensor, memory_value: Tensor, top_k: int, usage: Tensor | None = None
) -> Tensor:
    """As `readout` of the similarity, with only the largest affinities of each query pixel (inference).

    Keys in bfloat16 on a CPU are multiplied in bfloat16, as negative squared distances: each is off by at
    most 2^-8 of itself, so the nearest keys' by least.

    Args:
        query_key: (1, L, Ck), memory_key: (1, N, Ck), memory_value: (1, K, N, Cv).
        usage: (N,) float32, to which the affinities of each memory pixel are added; None: to nothing.

    Returns:
        (1, K, L, Cv)
    """
    if query_key.device.type == "cpu":
        nearest = _nearest(query_key[0], memory_key[0], min(top_k, memory_key.shape[1]))
        return weighted_sums(memory_value[0], nearest, usage).unsqueeze(0)
    return grouped_top_k_readout(query_key, memory_key, memory_value, top_k, usage)


def grouped_top_k_readout(
    query_key: Tensor, memory_key: Tensor, memory_value: Tensor, top_k: int, usage: Tensor | None = None
) -> Tensor:
    """`top_k_readout` as a GPU does it, which is not waited for."""
    factors = _factors(query_key[0], memory_key[0])
    return product_readout(*factors, query_key.shape[2], memory_value, top_k, usage)


def product_readout(
    query: Tensor, memory: Tensor, ones: int, memory_value: Tensor, top_k: int, usage: Tensor | None = None
) -> Tensor:
    """As `top_k_readout` of similarities that are the product of two matrices.

    Args:
        query: (L, C), memory: (N, C).
        ones: the channel that is 1 in all of the query.
        memory_value, top_k, usage: as there.
    """
    pixels, top_k = len(memory), min(top_k, len(memory))
    filling = (0, -memory.shape[1] % ALIGNED, 0, -memory.shape[0] % GROUP**2)
    query, memory = F.pad(query, filling[:2]), F.pad(memory, filling)
    memory[pixels:, ones].fill_(-torch.inf)  # what fills groups is never chosen
    largest = [grouped_top_k(rows @ memory.T, top_k) for rows in query.split(CUDA_ROWS)]
    values, indices = (torch.cat(parts) for parts in zip(*largest, strict=True))
    affinities = values.float().softmax(dim=1)
    if usage is not None:
        usage.index_add_(0, indices.flatten(), affinities.flatten())
    affinities = affinities.to(memory_value.dtype)
    return torch.stack([_weighted_rows(rows, indices, affinities) for rows in memory_value[0]]).unsqueeze(0)


def _nearest(query_key: Tensor, memory_key: Tensor, k: int) -> Nearest:
    """On a CPU: the k memory keys nearest to each query key, by half of the squared distance, scaled.

    Args:
        query_key: (L, Ck), memory_key: (N, Ck).
    """
    query, memory = _factors(query_key, memory_key)
    if low := _in_bfloat16(query_key):
        # the distance itself, which is smallest and so most exact for the nearest
        squares = _bfloat16_parts(-query_key.float().square().sum(1) / math.sqrt(query_key.shape[1]))
        query = torch.cat([query, squares], dim=1)
        memory = torch.cat([memory, torch.ones_like(memory[:, : squares.shape[1]])], dim=1)
    finder = NearestFinder(k, len(memory_key))
    filling = (0, -memory.shape[1] % ALIGNED, 0, finder.width - len(memory))
    query, memory = F.pad(-query, filling[:2]), F.pad(memory, filling)
    memory[len(memory_key) :, query_key.shape[1]].fill_(-torch.inf)  # what fills groups is never chosen
    height = max(ROWS, PAIRS // len(memory)) * torch.get_num_threads()
    memory = memory.T if low else memory.T.contiguous()
    # one buffer for all, as a processor's cache holds it: fresh memory would take longer than the products
    buffer = query.new_empty(min(height, len(query)), memory.shape[1])
    for rows in query.split(height):
        finder.add(torch.mm(rows, memory, out=buffer[: len(rows)]))
    return finder.found()


def nearby_readout(
    query_key: Tensor,
    memory_key: Tensor,
    memory_value: Tensor,
    query_positions: Tensor,
    memory_positions: Tensor,
    locality: Tensor,
) -> Tensor:
    """As `readout` of the similarity less `locality` times the squared distance of the pixels (inference).

    |p - q|^2 = |p|^2 + |q|^2 - 2 p.q adds channels to the keys, so that similarities need never lie in
    memory: it is scaled dot product attention, which is fast on every device.

    Args:
        query_key: (1, L, Ck), memory_key: (1, N, Ck), memory_value: (1, K, N, Cv).
        query_positions: (L, 2), memory_positions: (N, 2), whole numbers.

    Returns:
        (1, K, L, Cv)
    """
    centre = memory_positions.mean(dim=0).round()  # about which positions are small, and exact in bfloat16
    query, memory = _factors(
        query_key[0], memory_key[0], query_positions - centre, memory_positions - centre, locality
    )
    objects, channels = memory_value.shape[1], memory_value.shape[3]
    width = max(query.shape[1], channels)
    width += -width % ALIGNED
    query, memory = (F.pad(x, (0, width - x.shape[1])).expand(1, objects, -1, -1) for x in (query, memory))
    value = F.pad(memory_value.to(query.dtype), (0, width - channels))
    read = F.scaled_dot_product_attention(query, memory, value, scale=1.0)[..., :channels]
    return read.to(memory_value.dtype)


def _in_bfloat16(key: Tensor) -> bool:
    return key.device.type == "cpu" and key.dtype == torch.bfloat16


def _factors(
    query_key: Tensor,
    memory_key: Tensor,
    query_positions: Tensor | None = None,
    memory_positions: Tensor | None = None,
    locality: Tensor | float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Two matrices whose product is the similarity, less `locality` times the squared distance of positions
    where there are some, but for a term that is the query pixel's own.

    Keys in bfloat16 on a CPU give bfloat16 matrices: what is added to the keys is a sum of three channels
    each, exact to float32's precision.

    Args:
        query_key: (L, Ck), memory_key: (N, Ck), query_positions: (L, 2), memory_positions: (N, 2).

    Returns:
        (L, C), (N, C); channel Ck of the first is 1.
    """
    low = _in_bfloat16(query_key)
    query_key, memory_key = query_key.float(), memory_key.float()
    scale = 1 / math.sqrt(memory_key.shape[1])
    query = [torch.ones(len(query_key), 1, device=query_key.device)]
    memory = [-scale * memory_key.square().sum(dim=1, keepdim=True)]
    if query_positions is not None and memory_positions is not None:
        query.append(query_positions)
        memory[0] = memory[0] - locality * memory_positions.square().sum(dim=1, keepdim=True)
        memory.append(2 * locality * memory_positions)
    added = torch.cat(query, dim=1), torch.cat(memory, dim=1)
    if not low:
        return torch.cat([query_key, added[0]], dim=1), torch.cat([2 * scale * memory_key, added[1]], dim=1)
    parts = torch.cat([_bfloat16_parts(column) for column in added[1].unbind(1)], dim=1)
    repeated = added[0].bfloat16().repeat_interleave(BFLOAT16_PARTS, dim=1)
    # the memory's keys, of which there are more, stay as they are
    keys = (2 * scale * query_key).bfloat16(), memory_key.bfloat16()
    return torch.cat([keys[0], repeated], dim=1), torch.cat([keys[1], parts], dim=1)


def _bfloat16_parts(x: Tensor) -> Tensor:
    """(N,) float32 -> (N, 3) bfloat16 whose sum it is, but for float32's rounding; the largest part first."""
    parts = []
    for _ in range(BFLOAT16_PARTS):
        parts.append(x.bfloat16())
        x = x - parts[-1]
    return torch.stack(parts, dim=1)


def plain_top_k_readout(
    query_key: Tensor, memory_key: Tensor, memory_value: Tensor, top_k: int, usage: Tensor | None = None
) -> Tensor:
    """The definition of `top_k_readout`, and how STCN's published code reads: with the affinities of all
    pairs, nearly all of them 0."""
    similarities = similarity(query_key, memory_key)
    values, indices = similarities.topk(min(top_k, memory_key.shape[1]), dim=2)
    affinities = torch.zeros_like(similarities).scatter_(2, indices, values.softmax(dim=2))
    if usage is not None:
        usage += affinities[0].sum(dim=0)
    return affinities.to(memory_value.dtype).unsqueeze(1) @ memory_value


def grouped_top_k(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """As topk along the second dimension, but faster where k is small: each of the k largest values is in
    one of the k groups with the largest maxima, which are found in the same way.

    Args:
        values: (L, N), N >= k.

    Returns:
        Values and indices, (L, k), in no order.
    """
    if values.shape[1] % GROUP or values.shape[1] <= 2 * k * GROUP:
        return values.topk(k, dim=1, sorted=False)
    grid = values.unflatten(1, (GROUP, -1))  # a group is a column, so that maxima are taken of whole rows
    columns = grouped_top_k(grid.amax(dim=1), k)[1]
    candidates = grid.gather(2, columns.unsqueeze(1).expand(-1, GROUP, -1)).flatten(1)
    largest, places = candidates.topk(k, dim=1, sorted=False)
    row, column = places // k, columns.gather(1, places % k)  # candidates are k columns of each row
    return largest, row * grid.shape[2] + column


def _weighted_rows(rows: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Sums of chosen rows: (N, C), (L, k), (L, k) -> (L, C)."""
    return F.embedding_bag(indices, rows, per_sample_weights=weights, mode="sum")
