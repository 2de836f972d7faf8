"""Which objects and frames count."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

VOID = 255  # DAVIS: belongs to no object, where there are other ids
SMALL = 127  # ids are at most this; larger ones beside 255 are grey levels


class ScoringProtocol(NamedTuple):
    """What of a sequence is scored.

    Attributes:
        merge_objects: all ids are one object, as in DAVIS-2016.
        late_objects: objects count from the frame that first annotates them, as in YouTube-VOS; otherwise
            those of the first annotated frame alone.
        first_frames: an object's first annotated frame counts, although it is given.
        last_frame: the last annotated frame counts.
    """

    merge_objects: bool = False
    late_objects: bool = False
    first_frames: bool = False
    last_frame: bool = False

    def describe(self) -> str:
        """In words, for the head of a table."""
        objects = "all ids as one object" if self.merge_objects else "each id an object"
        late = ", from where it first appears" if self.late_objects else ""
        left_out = {
            (False, False): "first and last frames left out",
            (False, True): "first frames left out",
            (True, False): "last frames left out",
            (True, True): "all frames",
        }[self.first_frames, self.last_frame]
        return f"{objects}{late}; {left_out}"


class VoidRule:
    """Decides what 255 means in the label maps of one sequence, when first something is there: the object,
    where no other id is there, or where others are no small numbers but grey levels; else no object.

    Args:
        merge: all ids are one object.
    """

    def __init__(self, *, merge: bool) -> None:
        self.merge = merge
        self._first: list[int] | None = None

    def apply(self, labels: np.ndarray) -> tuple[np.ndarray, list[int]]:
        """(H, W) uint8 as stored -> ids (H, W) uint8, and the objects among them."""
        found = objects_in(labels)
        if self._first is None and found:
            self._first = found
        white = self._first == [VOID]
        if VOID in found and not white and max((i for i in found if i != VOID), default=0) <= SMALL:
            labels = np.where(labels == VOID, np.uint8(0), labels)
            found.remove(VOID)
        if self.merge or white:
            labels, found = (labels > 0).astype(np.uint8), [1] if found else []
        return labels, found


def objects_in(labels: np.ndarray) -> list[int]:
    """The ids of a label map (H, W) uint8 besides 0, ascending."""
    counts = cv2.calcHist([labels], [0], None, [256], [0, 256])  # many times faster than a sort
    return [int(i) for i in np.flatnonzero(counts) if i]
