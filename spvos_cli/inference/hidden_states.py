"""What a network carries of each object from frame to frame, beside the memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor


class HiddenStates:
    """The hidden states of a stream's objects; that of an object that nothing is known of is zero.

    Attributes:
        ids: whose states they are.
        states: (K, Ch, h, w) float32, a row each; None before there are any.
    """

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.states: Tensor | None = None

    def put(self, ids: Sequence[int], states: Tensor | None) -> None:
        """After a frame; None: the network has none."""
        self.ids, self.states = list(ids), states

    def of(self, ids: Sequence[int], size: tuple[int, int]) -> Tensor | None:
        """Before a frame: as `put` takes them, of these objects, at this size. None: all zero."""
        states = self.states
        if states is None or tuple(states.shape[2:]) != size:
            return None
        if self.ids == list(ids):
            return states
        rows = torch.tensor([self.ids.index(i) if i in self.ids else -1 for i in ids], device=states.device)
        known = (rows >= 0)[:, None, None, None]
        return states[rows.clamp(min=0)] * known

    def remove(self, ids: Collection[int]) -> None:
        """Forgets objects."""
        rows = [row for row, i in enumerate(self.ids) if i not in ids]
        self.ids = [self.ids[row] for row in rows]
        if self.states is not None:
            self.states = self.states[rows] if rows else None
