"""Following objects from frame to frame, each frame from all before it: `spvos segment` in parts."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from spvos_cli.annotate.chain import Chain
from spvos_cli.annotate.masks import MaskFolder
from spvos_cli.annotate.predictions import Predictions
from spvos_cli.annotate.worker import WorkerJob
from spvos_cli.segment.resume import ResumeState
from spvos_cli.segment.tracker import Tracker
from spvos_cli.video.annotations import Annotations
from spvos_cli.video.frames import Frame, Source
from spvos_cli.video.threads import DEPTH, Background, prefetch
from spvos_cli.video.writers.writer import SegmentedFrame

if TYPE_CHECKING:  # PyTorch is imported when a network is wanted
    from spvos_cli.inference.segmenter import VideoSegmenter

STATE_EVERY = 50  # frames from one saved state to the next
SAVE_EVERY = 1.0  # seconds after which what was found is put on disk


class Follower:
    """Segments frames in order, and goes on where that was left off.

    Args:
        open_source: opens the video anew.
        make_segmenter: a segmenter that has seen nothing.
        masks: of the annotated frames.
        chain, predictions: where what is found goes.
    """

    def __init__(
        self,
        open_source: Callable[[], Source],
        make_segmenter: Callable[[], VideoSegmenter],
        masks: MaskFolder,
        chain: Chain,
        predictions: Predictions,
    ) -> None:
        self.open_source, self.make_segmenter = open_source, make_segmenter
        self.masks, self.chain, self.predictions = masks, chain, predictions
        self._last_save = 0.0

    def run(self, job: WorkerJob, digests: Mapping[int, str], stop: int) -> str:
        """Finds what is not known up to a frame.

        Args:
            digests: of the masks that are used, by frame; at least one.
            stop: the frame before which it ends.

        Returns:
            A line about it.

        Raises:
            InputError: the masks cannot be used.
        """
        first = min(digests)
        begin = max(first, self.chain.valid(digests))
        job.total = max(0, stop - begin)
        if begin >= stop:
            return f"all frames before {stop} are up to date"
        self.chain.begin(begin, digests)
        with contextlib.ExitStack() as stack:
            source = self.open_source()
            stack.callback(source.close)
            tracker = Tracker(self.make_segmenter(), job.notes.append)
            at = self._restore(tracker, begin, first)
            annotations = self._annotations(source, at, digests)
            stack.callback(self._save)
            background = Background[SegmentedFrame | ResumeState](lambda item: self._take(item, job, digests))
            stack.enter_context(background)
            saved = at
            for frame in stack.enter_context(_frames(source, at, stop, job)):  # `stop`, too: for its state
                mask = annotations.at(frame)
                due = mask is not None or frame.index == begin or frame.index - saved >= STATE_EVERY
                if due and frame.index > first and tracker.segmenter.can_resume(mask):
                    background.put(_state(frame.index, tracker))
                    saved = frame.index
                if frame.index == stop:
                    break
                segmented = tracker.step(frame, mask)
                if frame.index >= begin:
                    background.put(segmented)
        if self.chain.end <= begin:
            return "stopped" if job.stopped else f"the video ends before frame {begin}"
        return f"{'stopped' if job.stopped else 'done'} at frame {self.chain.end - 1}"

    def _restore(self, tracker: Tracker, begin: int, first: int) -> int:
        """Puts the tracker before a frame from which it can go on to `begin`; the frame."""
        for state in self.chain.states_back(first + 1, begin):
            assert state.segmenter is not None
            tracker.segmenter.restore(state.segmenter)
            if tracker.segmenter.can_resume(self.masks.read(state.frame)):  # it may be annotated since
                tracker.restore(state.facts["tracker"])
                return state.frame
        tracker.segmenter.reset()
        return first

    def _annotations(self, source: Source, at: int, digests: Mapping[int, str]) -> Annotations:
        """The masks of frames from `at` on, those that are not used left out."""
        annotations = Annotations([str(self.masks.folder)], (), source)
        frames = [given.moment.frame for given in annotations.given]
        annotations.restore(
            [n for n, frame in enumerate(frames) if frame is not None and frame >= at and frame in digests]
        )
        return annotations

    def _take(self, item: SegmentedFrame | ResumeState, job: WorkerJob, digests: Mapping[int, str]) -> None:
        """In the writer's thread."""
        if isinstance(item, ResumeState):
            self.chain.save_state(item)
            return
        index = item.frame.index
        self.predictions.write(index, item.labels, item.facts)
        self.chain.add(index, digests.get(index))
        job.step(index)
        if time.monotonic() - self._last_save >= SAVE_EVERY:
            self._save()

    def _save(self) -> None:
        self.predictions.save()
        self.chain.save()
        self._last_save = time.monotonic()


def _state(frame: int, tracker: Tracker) -> ResumeState:
    """Of what follows objects, before a frame."""
    return ResumeState(frame, {"tracker": tracker.state()}, tracker.segmenter.state())


@contextlib.contextmanager
def _frames(source: Source, first: int, stop: int, job: WorkerJob) -> Iterator[Iterator[Frame]]:
    """Decoded in another thread, until the job is to stop."""

    def wanted() -> Iterator[Frame]:
        for frame in frames:
            if frame.index > stop or job.stopped:
                return
            yield frame

    frames = prefetch(source.frames_from(first), DEPTH)
    try:
        yield wanted()
    finally:
        frames.close()
