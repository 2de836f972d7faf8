"""What users should hear about while a video is segmented: cuts, and objects that are gone."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from spvos_cli.segment.smallness import objects_named
from spvos_cli.video.frames import Frame, Note

THUMBNAIL = (32, 18)
# Fast turns (drift-turn of DAVIS train) reach 39, 3 and 0.10; cuts between its videos start at 38, 3.4, 0.48
CUT_DIFFERENCE = 25.0  # mean absolute difference of thumbnails, in levels
CUT_SURPRISE = 2.0  # times the running mean of that difference
CUT_HISTOGRAM = 0.3  # Bhattacharyya distance of the colour histograms
FORGET = 0.8  # of the running mean, a frame
SETTLED = 10  # frames that an object must be there before its loss is said again


class EventDetector:
    """Finds shot cuts, and objects that get lost and come back; says a line about each, and gives its mark.

    Args:
        note: takes the lines.
    """

    def __init__(self, note: Note) -> None:
        self.note = note
        self._thumbnail: np.ndarray | None = None
        self._histogram: np.ndarray | None = None
        self._usual = 0.0
        self._there: dict[int, int] = {}  # frames in a row that an object was seen; -1: lost
        self._said: set[int] = set()

    def events(
        self, frame: Frame, objects: tuple[int, ...], areas: np.ndarray, *, told: bool = False
    ) -> tuple[str, ...]:
        """Marks of a frame: "shot_cut", "lost:ID", "found:ID".

        Args:
            told: whether a given mask says who is there, so that nobody needs to hear of losses.
        """
        marks = ["shot_cut"] if self._is_cut(frame.image) else []
        if marks:
            self.note(
                f"frame {frame.number}: a shot cut; objects may be lost or taken for others from here on"
            )
        lost: list[int] = []
        for i in objects:
            marks += self._presence(i, lost, seen=bool(areas[i]))
        if lost and not told:
            self.note(f"frame {frame.number}: {objects_named(lost)} {'is' if len(lost) == 1 else 'are'} lost")
        return tuple(marks)

    def state(self) -> dict[str, Any]:
        """What a resumed run needs; JSON's types."""
        images = [None if x is None else x.tolist() for x in (self._thumbnail, self._histogram)]
        there = sorted(self._there.items())
        return {"images": images, "usual": self._usual, "there": there, "said": sorted(self._said)}

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        images = [None if x is None else np.array(x, np.float32) for x in state["images"]]
        self._thumbnail, self._histogram = images
        self._usual, self._there = state["usual"], dict(state["there"])
        self._said = set(state["said"])

    def _presence(self, i: int, lost: list[int], *, seen: bool) -> list[str]:
        """An object's mark; it is added to those whose loss is to be said."""
        before = self._there.get(i)
        if seen:
            returned = before is not None and before < 0
            self._there[i] = 1 if returned or before is None else before + 1
            return [f"found:{i}"] if returned else []
        if before is None or before < 0:
            return []
        if before >= SETTLED or i not in self._said:
            lost.append(i)
            self._said.add(i)
        self._there[i] = -1
        return [f"lost:{i}"]

    def _is_cut(self, image: np.ndarray) -> bool:
        small = cv2.resize(
            whole_parts(image), (4 * THUMBNAIL[0], 4 * THUMBNAIL[1]), interpolation=cv2.INTER_AREA
        )
        thumbnail = cv2.resize(small, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
        histogram = cv2.calcHist([small], [0, 1, 2], None, [6, 6, 6], [0, 256] * 3).ravel()
        before, last = self._thumbnail, self._histogram
        self._thumbnail, self._histogram = thumbnail, histogram
        if before is None or last is None:
            return False
        difference = float(np.abs(thumbnail - before).mean())
        usual, self._usual = self._usual, FORGET * self._usual + (1 - FORGET) * difference
        if difference < max(CUT_DIFFERENCE, CUT_SURPRISE * usual):
            return False
        return cv2.compareHist(last, histogram, cv2.HISTCMP_BHATTACHARYYA) > CUT_HISTOGRAM


def whole_parts(image: np.ndarray) -> np.ndarray:
    """A smaller picture, no smaller than is looked at, by means over whole squares, which is four times as
    fast as over parts of pixels; up to a square less at the right and the bottom."""
    size = min(n // (4 * least) for n, least in zip(image.shape[1::-1], THUMBNAIL, strict=True))
    if size < 2:
        return image
    height, width = (n // size for n in image.shape[:2])
    cut = image[: height * size, : width * size]
    return cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA)
