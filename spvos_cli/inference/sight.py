"""Which objects may be anywhere in a frame, whatever their last place: those out of sight, and those that go
or come."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from spvos_cli.inference.region import CELL, visible_objects

SHRUNK = 0.6  # of its largest area of late: below it an object goes behind something, or leaves
FORGETTING = 0.95  # what an area of the past counts for a frame later
SMALL = 16 * CELL**2  # pixels of an object of which a cell is a large part
GROWN = 1.4  # times its area a frame before: above it an object comes into sight


class Sight:
    """How much of each object was to be seen of late. An object that is out of sight, or whose area jumps,
    may next be seen on the other side of what hides it, further from its last place than a gate looks.

    Attributes:
        ids: of the objects, a column each.
        areas: (2, K) float32, in pixels: each object's largest area of late, the older the less, and its last
            one; 0 and infinite where nothing is known. They stay where they are in memory as long as the
            objects are the same.
    """

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.areas = torch.zeros(2, 0)
        self._last: tuple[Tensor, Tensor] | None = None

    def follow(self, ids: Sequence[int]) -> None:
        """The objects of the next frame; nothing is known of those that join."""
        if self.ids == list(ids):
            return
        areas = self.areas.new_zeros(2, len(ids))
        areas[1] = torch.inf
        for column, i in enumerate(ids):
            if i in self.ids:
                areas[:, column] = self.areas[:, self.ids.index(i)]
        self.ids, self.areas = list(ids), areas

    def remove(self, ids: Collection[int]) -> None:
        """Objects leave, or get a mask that the network did not make."""
        self.follow([i for i in self.ids if i not in ids])

    def put(self, ids: Sequence[int], areas: Tensor) -> None:
        """What is known of the objects, as the attributes."""
        self.ids, self.areas = list(ids), areas.clone()

    def lost(self, masks: Tensor) -> Tensor:
        """Which of the objects are to be looked for everywhere in a frame: (K,) bool.

        Args:
            masks: (K, H, W), their probabilities in the frame before. The same tensor again, for a frame that
                is looked at again, gets the same answer.
        """
        if self._last is not None and self._last[0] is masks:
            return self._last[1]
        if self.areas.device != masks.device:
            self.areas = self.areas.to(masks.device)
        area = masks.flatten(1).sum(dim=1, dtype=torch.float32)
        largest, last = self.areas
        torch.maximum(largest.mul_(FORGETTING), area, out=largest)
        lost = ~visible_objects(masks) | (area < SHRUNK * largest) | (area > GROWN * last)
        last.copy_(area)
        self._last = masks, lost
        return lost

    @property
    def small(self) -> Tensor:
        """Which of the objects were small in the frame that `lost` was told of last: (K,) bool."""
        return self.areas[1] < SMALL
