"""Ids from 1 to 255 for the values that masks hold, the same in all masks of a video."""

from __future__ import annotations

MOST_OBJECTS = 255


class SmallIds:
    """Ids for values, which other tools let grow larger: a value's own where that is free, else the next free
    one."""

    def __init__(self) -> None:
        self._ids: dict[int, int] = {}

    def of(self, values: list[int]) -> list[int] | None:
        """The ids of positive values; None where they are too many."""
        for value in values:
            if value not in self._ids:
                free = set(range(1, MOST_OBJECTS + 1)) - set(self._ids.values())
                if not free:
                    return None
                self._ids[value] = value if value in free else min(free)
        return [self._ids[value] for value in values]
