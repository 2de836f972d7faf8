"""Learning rates over a run."""

from __future__ import annotations

import math

from spvos_cli.training.options import TrainOptions


def rate_share(options: TrainOptions, iteration: int) -> float:
    """The learning rate as a share of the peak: linear warm-up, the peak, then half a cosine down."""
    warmup, hold = options.warmup * options.iterations, options.hold * options.iterations
    if iteration < warmup:
        return options.start_rate + (1 - options.start_rate) * iteration / warmup
    if iteration < hold:
        return 1.0
    progress = min((iteration - hold) / max(1, options.iterations - hold), 1.0)
    return options.final_rate + (1 - options.final_rate) * (1 + math.cos(math.pi * progress)) / 2
