"""Objects that are too small or too thin for the network at the size that it sees frames in."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from spvos_cli.video.frames import Note

# Measured in full HD: a rope of 4.7 pixels and a ball of 49 in area are followed at their own size; at 2.1
# pixels 22 % of the rope are left, at 39 in area the ball is lost
THIN = 3.0  # pixels of the network's
SMALL = 48  # pixels of the network's
STEP = 40  # that advised sizes are rounded up to
NAMED = 8  # objects in a line


class Extent(NamedTuple):
    """Attributes: pixels, of an object's mask; thickness, in pixels, where it is thickest."""

    pixels: int
    thickness: float

    def scale_needed(self) -> float:
        """By which frames may be scaled so that it is neither thin nor small."""
        return max(THIN / max(self.thickness, 1), math.sqrt(SMALL / max(self.pixels, 1)))


def extent_of(mask: np.ndarray) -> Extent:
    """Of an object's mask (H, W) bool that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    framed = np.pad(part, 1).astype(np.uint8)
    radius = float(np.max(cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)))
    return Extent(int(part.sum()), 2 * radius - 1)


class SizeAdviser:
    """Says a line when an object is annotated that the network can hardly see, with the --size that would do;
    and one when frames are enlarged for an object.

    Args:
        size: of the frames' shorter side, at most, that was asked for.
        note: takes the lines.
    """

    def __init__(self, size: int, note: Note) -> None:
        self.size, self.note = size, note
        self._known: set[int] = set()

    def look(self, frame: int, mask: np.ndarray, lines: int) -> None:
        """Looks at the objects of a mask (H, W) that are new.

        Args:
            lines: of the frames' shorter side, at most, that the network sees.
        """
        short = min(mask.shape)
        if lines > self.size and not self._known:
            seen = f"{min(lines, short)} lines of {short} instead of {self.size}"
            self.note(f"frame {frame}: what is followed is small, so the network sees {seen}")
        scale = min(1.0, lines / short)
        ids = [int(i) for i in np.flatnonzero(np.bincount(mask.ravel())) if i and i not in self._known]
        self._known.update(ids)
        small = {i: extent for i in ids if (extent := extent_of(mask == i)).scale_needed() > scale}
        if not small:
            return
        worst = min(small.values(), key=lambda extent: extent.thickness)
        needed = max(extent.scale_needed() for extent in small.values()) * short
        best = min(short, math.ceil(needed / STEP) * STEP)
        thickness = f"{worst.thickness:.0f} pixels thick, {worst.thickness * scale:.1f}"
        seen = f"{thickness} in {min(lines, short)} lines"
        names = objects_named(sorted(small))
        verb, it = ("is", "it is") if len(small) == 1 else ("are", "the thinnest is")
        advice = f"--size {best} would do" if needed <= short else f"--size {best} is the most that there is"
        if scale == 1:
            advice = "and that is all there is"
        self.note(f"frame {frame}: {names} {verb} small for the network ({it} {seen}); {advice}")


def objects_named(ids: list[int]) -> str:
    """For messages: "object 3", "objects 1, 2", "objects 1, 2, ... (20)"."""
    if len(ids) == 1:
        return f"object {ids[0]}"
    some = ", ".join(map(str, ids[:NAMED]))
    return f"objects {some}" + (f", ... ({len(ids)} of them)" if len(ids) > NAMED else "")
