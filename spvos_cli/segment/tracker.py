"""From frames to segmented frames with all that is known about them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from spvos_cli.errors import InputError
from spvos_cli.segment.events import EventDetector
from spvos_cli.segment.smallness import SizeAdviser
from spvos_cli.video.frames import Frame, Note
from spvos_cli.video.writers.writer import Facts, SegmentedFrame

if TYPE_CHECKING:  # PyTorch is imported when a network is wanted
    from spvos_cli.inference.segmenter import VideoSegmenter


class Tracker:
    """A segmenter with its measurements.

    Args:
        segmenter: what follows the objects.
        note: takes remarks about shot cuts and lost objects.
        with_soft, with_decisions: whether probabilities, and what gates decided, are wanted.

    Raises:
        InputError: decisions are wanted where no gates decide.

    Attributes:
        frames: how many were segmented so far.
        computed, total: multiply-accumulates of gated layers that ran sparsely: done, and there were to do.
    """

    def __init__(
        self,
        segmenter: VideoSegmenter,
        note: Note,
        *,
        with_soft: bool = False,
        with_decisions: bool = False,
    ) -> None:
        self.segmenter, self.with_soft, self.with_decisions = segmenter, with_soft, with_decisions
        if with_decisions and not segmenter.runs:
            found, expected = "a network without gates", "gates, whose decisions are shown"
            raise InputError("-o policies.mp4", found=found, expected=expected, fix="--method triple")
        segmenter.measured = True
        self.detector, self.adviser = EventDetector(note), SizeAdviser(segmenter.size, note)
        self.frames, self.computed, self.total = 0, 0, 0

    @property
    def density(self) -> float | None:
        """Share of multiply-accumulates done in gated layers that ran sparsely."""
        return self.computed / self.total if self.total else None

    def step(self, frame: Frame, mask: np.ndarray | None) -> SegmentedFrame:
        """Segments the next frame."""
        start = time.perf_counter()
        labels = self.segmenter.step(frame.image, mask)
        ms = 1000 * (time.perf_counter() - start)
        if mask is not None:
            self.adviser.look(frame.number, mask, self.segmenter.lines)
        stats = self.segmenter.gate_stats
        self.frames += 1
        self.computed, self.total = self.computed + stats.computed, self.total + stats.total
        objects = tuple(self.segmenter.objects)
        areas = areas_of(labels)
        facts = Facts(
            objects,
            areas,
            self.segmenter.confidence,
            stats.computed / stats.total if stats.total else None,
            stats.policies,
            ms,
            self.detector.events(frame, objects, areas, told=mask is not None),
            self.segmenter.probabilities if self.with_soft else None,
            self.segmenter.decisions if self.with_decisions else None,
        )
        return SegmentedFrame(frame, labels, facts)

    def state(self) -> dict[str, Any]:
        """Counts and what was noticed, JSON's types; the segmenter's state is its own."""
        counts = {"frames": self.frames, "computed": self.computed, "total": self.total}
        return counts | {"events": self.detector.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self.frames, self.computed, self.total = (state[name] for name in ("frames", "computed", "total"))
        self.detector.restore(state["events"])


def areas_of(labels: np.ndarray) -> np.ndarray:
    """The pixels of each id in a label map (H, W): (256,). Only about the objects they are looked at."""
    left, top, width, height = cv2.boundingRect(labels)
    areas = np.bincount(labels[top : top + height, left : left + width].ravel(), minlength=256)
    areas[0] += labels.size - width * height
    return areas
