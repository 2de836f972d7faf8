"""The smallest numbers of each row: NumPy partitions and compares with the processor's widest vectors, where
PyTorch's top-k takes one number at a time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LEAST_GROUPS = 5  # for each number that is looked for: more of them keep more numbers of other groups out
LEAST_STEP = 512  # columns from one width to the next: libraries compile a product for each size anew
MOST_KEPT = 4  # times as many numbers as are looked for: more share a value, and are looked at one by one


class Nearest(NamedTuple):
    """Numbers chosen from the rows of a matrix, row by row.

    Attributes:
        columns: (n,) int64, where they stand.
        values: (n,) float32.
        starts: (rows,) int64, where each row's begin.
    """

    columns: Tensor
    values: Tensor
    starts: Tensor


class NearestFinder:
    """The k smallest of each row, and all that equal the last of them, of a matrix that comes in parts.

    Each of the k groups with the smallest minima has a number that is at most the k-th smallest minimum: what
    is not larger than that is looked at, little more than k numbers.

    Args:
        k: at most `columns`.
        columns: of the matrix, filled up to `width` with infinity.
    """

    def __init__(self, k: int, columns: int) -> None:
        self.k, self._groups = k, 1 << (LEAST_GROUPS * k - 1).bit_length()
        step = max(self._groups, LEAST_STEP)
        self.width = columns + -columns % step
        self._columns: list[NDArray[np.int64]] = []
        self._counts: list[NDArray[np.int64]] = []
        self._values: list[Tensor] = []

    def add(self, rows: Tensor) -> None:
        """(n, width) float32, or bfloat16 from 0 on."""
        # the bits of such bfloat16 numbers, taken as integers, have the same order
        bits = rows.view(torch.int16) if rows.dtype == torch.bfloat16 else rows
        minima = bits.unflatten(1, (-1, self._groups)).amin(dim=1).numpy()  # twice as fast as NumPy's
        limit = np.partition(minima, self.k - 1, axis=1)[:, self.k - 1 : self.k]
        ordered = bits.numpy()
        places = np.flatnonzero(ordered <= limit)
        if len(places) > MOST_KEPT * self.k * len(ordered):
            chosen = np.sort(np.argpartition(ordered, self.k - 1, axis=1)[:, : self.k], axis=1)
            places = (chosen + self.width * np.arange(len(ordered))[:, None]).ravel()
        row, column = np.divmod(places, self.width)
        self._columns.append(column)
        self._counts.append(np.bincount(row, minlength=len(ordered)))
        self._values.append(rows.flatten()[torch.from_numpy(places)].float())

    def found(self) -> Nearest:
        """Of all rows that were added."""
        columns, counts = np.concatenate(self._columns), np.concatenate(self._counts)
        values, starts = torch.cat(self._values).numpy(), np.cumsum(counts) - counts
        row = np.repeat(np.arange(len(counts)), counts)
        table = np.full((len(counts), counts.max()), np.inf, np.float32)
        table[row, np.arange(len(row)) - starts[row]] = values
        kept = values <= np.partition(table, self.k - 1, axis=1)[:, self.k - 1][row]
        counts = np.bincount(row[kept], minlength=len(counts))
        chosen = columns[kept], values[kept], np.cumsum(counts) - counts
        return Nearest(*(torch.from_numpy(x) for x in chosen))


def weighted_sums(table: Tensor, nearest: Nearest, usage: Tensor | None = None) -> Tensor:
    """The rows of tables (K, N, C) that were chosen, averaged with the softmax of their negative values:
    (K, rows, C).

    Args:
        usage: (N,) float32, to which the weights of each row of the tables are added.
    """
    lengths = nearest.starts.diff(append=torch.tensor([len(nearest.columns)]))
    row = torch.repeat_interleave(lengths)
    least = torch.segment_reduce(nearest.values, "min", lengths=lengths)
    weights = torch.exp(least[row] - nearest.values)
    weights /= torch.segment_reduce(weights, "sum", lengths=lengths)[row]
    if usage is not None:
        usage.index_add_(0, nearest.columns, weights)
    weights = weights.to(table.dtype)
    sums = [
        torch.nn.functional.embedding_bag(
            nearest.columns, each, nearest.starts, mode="sum", per_sample_weights=weights
        )
        for each in table
    ]
    return torch.stack(sums)
