"""Distractors: what looks like an object and lies where it cannot have come from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from spvos_cli.inference.previous_frame import PreviousFrame
from spvos_cli.inference.region import CELL, Windows, places_of, visible_cells

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
    for rows, columns, shown in places_of(previous.windows):
        frame[:, rows, columns] = before[:, :, shown]
    near = F.max_pool2d(frame, 2 * REACH + 1, stride=1, padding=REACH)
    near = torch.cat([near[:, rows, columns] for rows, columns, _ in places_of(windows)], dim=2)
    far = visible * (1 - near)
    share = far.sum(dim=(1, 2)) / visible.sum(dim=(1, 2)).clamp(min=1)
    dropped = far * (share < SMALL)[:, None, None]
    cells = masks.unflatten(2, (-1, CELL)).unflatten(1, (-1, CELL))
    cells.mul_((1 - dropped)[:, :, None, :, None])
