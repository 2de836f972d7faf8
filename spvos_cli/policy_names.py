"""The three decisions of a gate by name, for those who count and show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # masks are scored without loading torch
    import numpy as np
    from torch import Tensor

NAMES = ("skip", "reuse", "compute")  # in the order of the numbers in `sparse.policy`


def shares_by_name(pixels: Tensor | np.ndarray) -> dict[str, float]:
    """Of (3,) pixels that were skipped, reused and computed, by name: their shares, which sum to 1."""
    return dict(zip(NAMES, (pixels / pixels.sum()).tolist(), strict=True))
