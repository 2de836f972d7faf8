"""Of several tabs one edits; the others look on, and may take over."""

from __future__ import annotations

import time
from collections.abc import Callable

AWAY = 6.0  # seconds after which a tab that has not been heard of no longer holds the project


class Tabs:
    """Which tab may change things.

    Args:
        clock: seconds since some moment.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._holder, self._heard = "", 0.0

    def hear(self, tab: str) -> bool:
        """A tab asks how things are; whether it may change them. The first may, and who comes when it is
        gone."""
        if tab and (not self._holder or self.clock() - self._heard > AWAY):
            self._holder = tab
        if tab and tab == self._holder:
            self._heard = self.clock()
        return bool(tab) and tab == self._holder

    def take(self, tab: str) -> None:
        """From here on this one may."""
        self._holder, self._heard = tab, self.clock()
