"""Which object a colour means in the masks of one video."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from spvos_cli.video.palettes import pack, unpack, voc_palette
from spvos_cli.video.soft_edges import NOISE


class ColourNumbers:
    """Numbers packed RGB values, a colour once for all: the palette's ids where every colour so far is one of
    its, else the next free ones.

    Args:
        others: gives the colours of all masks that there are; asked for once, as soon as a colour is not the
            palette's, so that numbers do not depend on the order in which masks are read.
    """

    def __init__(self, others: Callable[[], Iterable[int]] | None = None) -> None:
        self._others = others
        self._numbers: dict[int, int] = {}
        self._palette = {int(colour): i for i, colour in enumerate(pack(voc_palette())) if i}

    @property
    def colours(self) -> list[int]:
        """Those that have a number, in the order of their values."""
        return sorted(self._numbers)

    def of(self, colours: list[int]) -> list[int]:
        """The number of each colour; new ones get theirs."""
        if self._others and not self._are_of_palette(colours):
            others, self._others = self._others, None
            self._add(sorted(others()))
        self._add(colours)
        return [self._numbers[colour] for colour in colours]

    def contradict(self, ids: Mapping[int, int]) -> bool:
        """Whether an indexed mask's colours cannot have the ids that it says: a colour has another id, or an
        id another colour, unless one of the two is the palette's."""
        colours = {number: colour for colour, number in self._numbers.items()}
        for colour, number in ids.items():
            before = colours.get(number, colour)
            chosen = self._palette.get(before) != number and self._palette.get(colour) != number
            if self._numbers.get(colour, number) != number or (before != colour and chosen):
                return True
        return False

    def learn(self, ids: Mapping[int, int]) -> None:
        """What colours mean in an indexed mask, for those that are not indexed."""
        self._numbers = {**ids, **self._numbers}

    def as_known(self, values: np.ndarray) -> np.ndarray:
        """Packed RGB values whose colours are an earlier mask's, but for what a lossy format did to them."""
        known = np.array(self.colours, np.int64)
        for colour in np.unique(values[values != 0]) if len(known) else ():
            distance = np.abs(unpack(known).astype(int) - unpack(colour)).max(axis=1)
            if distance.min() <= NOISE:
                values = np.where(values == colour, known[distance.argmin()], values)
        return values

    def _add(self, colours: list[int]) -> None:
        of_palette = self._are_of_palette(colours)
        for colour in colours:
            free = max(self._numbers.values(), default=0) + 1
            self._numbers.setdefault(colour, self._palette[colour] if of_palette else free)

    def _are_of_palette(self, colours: list[int]) -> bool:
        """Whether these and all before them are the palette's."""
        every = all(colour in self._palette for colour in colours)
        return every and all(self._palette.get(colour) == i for colour, i in self._numbers.items())
