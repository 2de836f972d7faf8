"""Distractors: what looks like an object and lies where it cannot have come from."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from spvos_cli.inference.previous_frame import PreviousFrame
from spvos_cli.inference.region import CELL, Windows, visible_cells

REACH = 4  # cells: how far from where it was before a part of an object is looked for
SMALL = 0.1  # share of an object's cells below which what lies further away is no part of it


def drop_distractors(masks: Tensor, windows: Windows, previous: PreviousFrame) -> None:
    """Takes parts out of masks that are small and far from where their object was in the frame before. An
    object that moves faster is all far away, and stays; so does one that was not to be seen.

    Args:
        masks: (K, H, W), the objects' probabilities in the windows of this frame; changed in place.
        windows: in which they lie; the frame has the size of the one before.
        previous: the frame before, with the same objects.
    """
    visible, before = (visible_cells(each).to(masks.dtype) for each in (masks, previous.masks))
    height, width = (n // CELL for n in previous.size)
    frame = before.new_zeros(len(before), height, width)
    for (top, bottom, left, right), part in _places(previous.windows, before):
        frame[:, top:bottom, left:right] = part
    near = F.max_pool2d(frame, 2 * REACH + 1, stride=1, padding=REACH)
    places = (near[:, top:bottom, left:right] for (top, bottom, left, right), _ in _places(windows, visible))
    near = torch.cat(list(places), dim=2)
    far = visible * (1 - near)
    share = far.sum(dim=(1, 2)) / visible.sum(dim=(1, 2)).clamp(min=1)
    dropped = far * (share < SMALL)[:, None, None]
    cells = masks.unflatten(2, (-1, CELL)).unflatten(1, (-1, CELL))
    cells.mul_((1 - dropped)[:, :, None, :, None])


def _places(windows: Windows, cells: Tensor) -> Iterator[tuple[tuple[int, int, int, int], Tensor]]:
    """Of each window its rows and columns on the frame's grid, and its part of the picture."""
    start = 0
    for window in windows:
        top, left, height, width = (n // CELL for n in window)
        yield (top, top + height, left, left + width), cells[:, :, start : start + width]
        start += width
