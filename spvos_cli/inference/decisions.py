"""One decision for each pixel of a frame, of all that gates decided about it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spvos_cli.inference.region import Window
from spvos_cli.inference.views import Placed
from spvos_cli.policy_names import NAMES
from spvos_cli.sparse.run import ModuleRunner

NOT_LOOKED_AT = 255
STRIDE = 4  # of the finest convolutions


def decisions_of(
    runs: Iterable[ModuleRunner], window: Window, size: tuple[int, int], found: Placed
) -> np.ndarray | None:
    """The policy in which most multiply-accumulates are: (h, w) uint8 at the network's size, without padding;
    `NOT_LOOKED_AT` outside of the window. None where everything was computed.

    Args:
        runs: of the frame.
        window: that was looked at.
        size: height and width of the padded frame.
        found: what came of it.
    """
    votes: Tensor | None = None
    for run in runs:
        for conv, policy in run.policies.items():
            scale = policy.shape[1] * STRIDE / window.height
            cost = conv.weight.numel() * min(1.0, scale) ** 2  # of a pixel at stride 4
            one_hot = torch.stack([policy == choice for choice in range(len(NAMES))], dim=1).float()
            size_here = window.height // STRIDE, window.width // STRIDE
            each = cost * F.interpolate(one_hot, size_here, mode="nearest").sum(dim=0)
            votes = each if votes is None else votes + each
    if votes is None:
        return None
    grid = votes.argmax(dim=0).byte().cpu().numpy()
    whole = np.full(size, NOT_LOOKED_AT, np.uint8)
    rows, columns = (
        slice(window.top, window.top + window.height),
        slice(window.left, window.left + window.width),
    )
    whole[rows, columns] = grid.repeat(STRIDE, axis=0).repeat(STRIDE, axis=1)
    top, left = (size[0] - found.height) // 2, (size[1] - found.width) // 2
    return whole[top : top + found.height, left : left + found.width]
