"""What a run tells while it trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

Row = dict[str, float]


class Reports(NamedTuple):
    """What happens beside training.

    Attributes:
        log: takes the figures of some iterations; every: of how many.
        score: the score of the weights so far, by name; None: only trained.
        save_every: iterations between checkpoints.
        advance: takes the progress of the run after every iteration.
    """

    log: Callable[[Row], None]
    every: int = 100
    score: Callable[[], Row] | None = None
    save_every: int = 500
    advance: Callable[[float], None] = lambda progress: None
