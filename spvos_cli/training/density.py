"""The density that gates are trained to, and what a pixel costs: shared by both ways of training gates."""

from __future__ import annotations

import math

from spvos_cli.sparse.conv import SparseConv2d


def annealed_target(target: float, progress: float, share: float) -> float:
    """The target density at a point of the run: it comes down from 1 along a cosine over a share of the run,
    so that no layer's gate is driven past the point where it still decides.

    Args:
        target: the density at the end, in (0, 1].
        progress: of the run, in [0, 1].
        share: of the run after which the target is reached; 0: at once.
    """
    left = (1 + math.cos(math.pi * min(1.0, progress / share))) / 2 if share else 0.0
    return target + left * (1 - target)


def pixel_cost(conv: SparseConv2d) -> int:
    """Multiply-accumulates of one output pixel: k * k * Cin * Cout."""
    return conv.weight.numel()
