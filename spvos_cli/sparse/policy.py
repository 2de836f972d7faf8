"""The three decisions about a pixel of a convolution's output (Section III-C)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # masks are scored without loading torch
    import numpy as np
    from torch import Tensor, nn

SKIP, REUSE, COMPUTE = 0, 1, 2  # the order of the triple gate's output channels
NAMES = ("skip", "reuse", "compute")


def shares_by_name(pixels: Tensor | np.ndarray) -> dict[str, float]:
    """Of (3,) pixels that were skipped, reused and computed, by name."""
    return dict(zip(NAMES, (pixels / pixels.sum()).tolist(), strict=True))


def argmax_policy(logits: Tensor) -> Tensor:
    """A triple gate's decision at test time: (B, 3, H, W) -> (B, H, W) uint8, the first where several are
    largest.

    Two comparisons: argmax over so short a dimension is slow on a CPU.
    """
    skip, reuse, compute = logits.unbind(dim=1)
    return (reuse > skip).byte().masked_fill_(compute > skip.maximum(reuse), COMPUTE)


def without_reuse(layer: nn.Module, policy: Tensor) -> Tensor:
    """A triple gate's decision with SKIP for REUSE, to be injected into runs: what reusing is worth."""
    return policy.masked_fill(policy == REUSE, SKIP)
