"""Learning rates over a run."""

from __future__ import annotations

import math

from spvos_cli.training.base_options import TrainOptions


def rate_share(options: TrainOptions, progress: float) -> float:
    """The learning rate as a share of the peak: linear warm-up, the peak, then half a cosine down.

    Args:
        progress: of the run, in [0, 1].
    """
    if progress < options.warmup:
        return options.start_rate + (1 - options.start_rate) * progress / options.warmup
    if progress < options.hold or options.hold >= 1:
        return 1.0
    falling = min((progress - options.hold) / (1 - options.hold), 1.0)
    return options.final_rate + (1 - options.final_rate) * (1 + math.cos(math.pi * falling)) / 2
