"""The three decisions about a pixel of a convolution's output (Section III-C)."""

from __future__ import annotations

from torch import Tensor, nn

SKIP, REUSE, COMPUTE = 0, 1, 2  # the order of the triple gate's output channels


def argmax_policy(logits: Tensor) -> Tensor:
    """A triple gate's decision at test time: (B, 3, H, W) -> (B, H, W) uint8, the first where several are
    largest.

    Two comparisons: argmax over so short a dimension is slow on a CPU.
    """
    skip, reuse, compute = logits.unbind(dim=1)
    return (reuse > skip).byte().masked_fill_(compute > skip.maximum(reuse), COMPUTE)


def of_pixels(policy: Tensor, scale: int) -> Tensor:
    """(B, h, w) of cells -> (B, scale * h, scale * w)."""
    return policy.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2)


def without_reuse(layer: nn.Module, policy: Tensor) -> Tensor:
    """A triple gate's decision with SKIP for REUSE, to be injected into runs: what reusing is worth."""
    return policy.masked_fill(policy == REUSE, SKIP)
