"""A run that has to end by some time goes through its schedules in the time that it has."""

from __future__ import annotations

import time
from collections.abc import Callable


class TimeLimit:
    """The time that a run may take, from now on.

    Args:
        seconds: how much.
        clock: seconds that have passed since some moment.

    Attributes:
        reserve: seconds at the end that are not for training: for the last checkpoint and score.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock, self.reserve = clock, 0.0
        self.passed = clock()
        self.end = self.passed + seconds

    def share_taken(self) -> float:
        """The time since the last call as a share of the time that was left then; 1 once there is not as
        much left."""
        before, self.passed = self.passed, self.clock()
        taken, left = self.passed - before, self.end - self.reserve - before
        return taken / left if 2 * taken <= left else 1.0
