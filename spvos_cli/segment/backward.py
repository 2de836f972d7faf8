"""The pass from the last mask towards the start, whose masks wait on disk for the pass forward."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from spvos_cli.files import atomic_path
from spvos_cli.segment.tracker import Tracker, areas_of
from spvos_cli.video.annotations import Annotations
from spvos_cli.video.frames import Frame, Source
from spvos_cli.video.moments import Range
from spvos_cli.video.writers.writer import SegmentedFrame

COMPLETE = "complete"


class Spool:
    """Label maps by frame, in a folder that is there until the run is complete."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def complete(self) -> bool:
        """Whether an earlier run made the whole pass."""
        return (self.folder / COMPLETE).exists()

    def fill(self, segmented: Iterator[SegmentedFrame]) -> None:
        """Makes the pass."""
        self.remove()
        self.folder.mkdir(parents=True)
        for frame, labels, facts in segmented:
            info = PngInfo()
            info.add_text("confidence", json.dumps({str(i): c for i, c in facts.confidence.items()}))
            target = self.folder / f"{frame.index:08d}.png"
            with atomic_path(target) as part:
                Image.fromarray(labels).save(part, format="png", pnginfo=info)
        (self.folder / COMPLETE).touch()

    def merge(self, segmented: SegmentedFrame) -> SegmentedFrame:
        """The frame with the objects that only the pass backwards knows there: those that join later."""
        target = self.folder / f"{segmented.frame.index:08d}.png"
        if not target.exists():
            return segmented
        with Image.open(target) as image:
            earlier, text = np.array(image), json.loads(image.info["confidence"])
        known = segmented.facts.objects
        labels = np.where((segmented.labels == 0) & ~np.isin(earlier, known), earlier, segmented.labels)
        new = sorted({int(i) for i in np.unique(labels)} - {0, *known})
        confidence = segmented.facts.confidence | {int(i): c for i, c in text.items() if int(i) in new}
        areas = areas_of(labels)
        facts = segmented.facts._replace(objects=(*known, *new), areas=areas, confidence=confidence)
        return SegmentedFrame(segmented.frame, labels, facts)

    def remove(self) -> None:
        """All of it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def frames_backwards(source: Source, range: Range, first: int, last: int) -> Iterator[Frame]:
    """The frames that a range chooses, from number `last` to number `first`."""
    for frame in source.backwards(last + 1):
        if frame.index < first:
            return
        if (frame.index - first) % range.stride == 0:
            yield frame


def pass_backwards(
    tracker: Tracker, annotations: Annotations, frames: Iterator[Frame]
) -> Iterator[SegmentedFrame]:
    """Segments frames that come in reverse."""
    for frame in frames:
        yield tracker.step(frame, annotations.at(frame, backwards=True))
