"""The frame before the one that is being segmented."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from spvos_cli.inference.region import Window, Windows
from spvos_cli.model.encoders import Query


class PreviousFrame(NamedTuple):
    """What is known of it. Its memory value is computed only when another frame comes: the last one's is
    never needed.

    Attributes:
        image: (1, 3, H, W), as far as it was looked at, normalised and padded.
        query: what the query encoder made of it.
        masks: (K, H, W), the objects' probabilities.
        annotated: whether masks were given in it.
        memory_frame: whether it stays in the memory.
        windows: where in the frame that lies.
        size: height and width of the frame, padded.
    """

    image: Tensor
    query: Query
    masks: Tensor
    annotated: bool
    memory_frame: bool
    windows: Windows
    size: tuple[int, int]

    @property
    def window(self) -> Window:
        """The first, where there are gates the only one."""
        return self.windows[0]

    def tensors(self) -> dict[str, Tensor]:
        """Copies of all tensors, by name."""
        query = {f"query.{name}": x.clone() for name, x in self.query._asdict().items()}
        place = torch.tensor([*(n for window in self.windows for n in window), *self.size])
        return query | {"image": self.image.clone(), "masks": self.masks.clone(), "place": place}

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, Tensor], *, annotated: bool, memory_frame: bool
    ) -> PreviousFrame:
        """The inverse of `tensors`; others may be among them."""
        query = Query(**tensors_below("query.", tensors))
        *corners, height, width = tensors["place"].tolist()
        place = tuple(Window(*each) for each in zip(*4 * [iter(corners)], strict=True)), (height, width)
        return cls(tensors["image"], query, tensors["masks"], annotated, memory_frame, *place)


def tensors_below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names start so, without that start."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
