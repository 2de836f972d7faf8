"""What is found before the masks: the pass of `spvos segment --backward`, kept as long as they stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spvos_cli.annotate.masks import MaskFolder
from spvos_cli.annotate.objects import load_record, save_record
from spvos_cli.annotate.worker import Stopped, WorkerJob
from spvos_cli.segment.backward import Spool, frames_backwards, pass_backwards
from spvos_cli.segment.tracker import Tracker, areas_of
from spvos_cli.video.annotations import Annotations
from spvos_cli.video.frames import Frame, Source, no_note
from spvos_cli.video.moments import Moment, Range
from spvos_cli.video.writers.writer import Facts, SegmentedFrame

if TYPE_CHECKING:  # PyTorch is imported when a network is wanted
    from spvos_cli.inference.segmenter import VideoSegmenter


class PassBehind:
    """The pass from the last mask towards the start.

    Args:
        open_source, make_segmenter, masks: as of `Follower`.
        folder: where it is kept.
    """

    def __init__(
        self,
        open_source: Callable[[], Source],
        make_segmenter: Callable[[], VideoSegmenter],
        masks: MaskFolder,
        folder: Path,
    ) -> None:
        self.open_source, self.make_segmenter, self.masks = open_source, make_segmenter, masks
        self._spool, self._file = Spool(folder / "behind"), folder / "behind.json"

    def holds(self, digests: Mapping[int, str], start: int) -> bool:
        """Whether it was made with masks of these digests, down to a frame."""
        return self._spool.complete and load_record(self._file) == _record(digests, start)

    def run(self, job: WorkerJob, digests: Mapping[int, str], start: int) -> str:
        """Makes the pass; one that is stopped leaves nothing.

        Returns:
            A line about it.

        Raises:
            InputError: the masks cannot be used.
            Stopped: the job was to stop.
        """
        last = max(digests)
        job.total = last - start + 1
        chosen = Range(Moment(start), Moment(last + 1))
        source = self.open_source()
        try:
            annotations = Annotations([str(self.masks.folder)], (), source)
            annotations.leave_out(chosen)
            tracker = Tracker(self.make_segmenter(), no_note)
            frames = _until_stopped(frames_backwards(source, chosen, start, last), job)
            self._file.unlink(missing_ok=True)
            self._spool.fill(pass_backwards(tracker, annotations, frames))
        finally:
            source.close()
        save_record(self._file, _record(digests, start))
        return f"found back to frame {start}"

    def merge(self, index: int, labels: np.ndarray, known: tuple[int, ...]) -> np.ndarray:
        """A label map (H, W) uint8 with the objects that join later.

        Args:
            known: those that have joined at this frame, in order.
        """
        areas = areas_of(labels)
        frame = Frame(index, np.zeros((0, 0, 3), np.uint8), "", index)
        return self._spool.merge(SegmentedFrame(frame, labels, Facts(known, areas, {}))).labels


def _record(digests: Mapping[int, str], start: int) -> dict[str, object]:
    return {"start": start, "digests": {str(frame): digest for frame, digest in digests.items()}}


def _until_stopped(frames: Iterator[Frame], job: WorkerJob) -> Iterator[Frame]:
    for frame in frames:
        if job.stopped:
            raise Stopped
        yield frame
        job.step(frame.index)
