"""Where a run stands, as its losses see it."""

from __future__ import annotations

from typing import NamedTuple


class StepPosition(NamedTuple):
    """Where a run stands when a loss is asked for.

    Attributes:
        iteration: of the run, from 0 on.
        progress: of the run, in [0, 1).
        clips: numbers, within the step's whole batch, of the clips at hand.
    """

    iteration: int
    progress: float
    clips: range
