"""The run of one video: frames in, the masks of all frames out."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spvos_cli.errors import InputError, Terminated
from spvos_cli.inference.threads import thread_count
from spvos_cli.segment.backward import Spool, frames_backwards, pass_backwards
from spvos_cli.segment.job import Job, box_files
from spvos_cli.segment.resume import ResumeState
from spvos_cli.segment.tracker import Tracker
from spvos_cli.ui import Reporter
from spvos_cli.video.frames import Frame
from spvos_cli.video.palettes import indexed_image
from spvos_cli.video.threads import DEPTH, Background, keep_newest, prefetch
from spvos_cli.video.writers.writer import SegmentedFrame, Writer

if TYPE_CHECKING:  # PyTorch is imported when a network is wanted
    from spvos_cli.inference.segmenter import VideoSegmenter

MOST_LINES = 3  # about masks that were not used
QUEUE_BYTES = 2**27  # of decoded frames that wait for the network


class Summary(NamedTuple):
    """What a run did.

    Attributes:
        frames: in the outputs.
        objects: that were followed.
        fps, seconds: of this run.
        outputs: files and folders.
        density: share of multiply-accumulates done in gated layers on sparse frames; None without.
        peak_rss_mib: the most memory that the process held; None where the system does not say.
        resumed: of the frames, those of the interrupted run that this one went on with.
    """

    frames: int
    objects: int
    fps: float
    seconds: float
    outputs: list[str]
    density: float | None
    peak_rss_mib: float | None
    resumed: int = 0


class Pipeline:
    """Segments the frames of a job that are left to do, from the first to the last."""

    def __init__(self, job: Job, tracker: Tracker, reporter: Reporter) -> None:
        self.job, self.tracker, self.reporter = job, tracker, reporter
        self.writers: list[Writer] = []
        self.spool: Spool | None = None
        self._last_save = time.monotonic()

    def run(self) -> Summary:
        """Makes the outputs, and says what was done.

        Raises:
            InputError: a mask is of a frame that does not come, or a file is damaged.
        """
        job, start, earlier = self.job, time.perf_counter(), 0
        with contextlib.ExitStack() as stack:
            if job.options.backward:
                self.spool = job.spool(stack)
                self._pass_backwards(self.spool)
            self.writers = job.open_writers(stack)
            if job.resumed:
                earlier = self._restore(job.resumed)
            elif job.state_file:
                self._save_start()
            frames = stack.enter_context(contextlib.closing(self._frames()))
            with Background(self._take, self._depth()) as background:
                for frame in frames:
                    background.put(self._segment(frame, background))
        self._finish()
        seconds = time.perf_counter() - start
        return Summary(
            self.tracker.frames,
            len(job.annotations.objects),
            (self.tracker.frames - earlier) / seconds,
            seconds,
            [str(output.path) for output in [*job.outputs, *([job.preview] if job.options.preview else [])]],
            self.tracker.density,
            peak_rss_mib(),
            earlier,
        )

    def _segment(self, frame: Frame, background: Background[SegmentedFrame | ResumeState]) -> SegmentedFrame:
        """A frame's labels; before them, its mask is shown and the state is saved, where these are due."""
        left = self.job.annotations.state()
        mask = self._mask(frame)
        if self._save_due(mask):
            # the writer thread saves it after the frames before
            background.put(self._state(frame.index, left, segmenter=True))
        segmented = self.tracker.step(frame, mask)
        return self.spool.merge(segmented) if self.spool else segmented

    def _mask(self, frame: Frame) -> np.ndarray | None:
        """What is given for a frame; the mask of boxes and clicks is written as well, for checking."""
        due = [given for given in self.job.annotations.unused if given.moment.reached(frame)]
        mask = self.job.annotations.at(frame)
        if mask is None:
            return None
        for path in box_files(self.job, due):
            if not path.exists() or self.job.options.overwrite:
                indexed_image(mask, self.job.look.palette).save(path)
                self.reporter.note(f"the mask made from boxes and clicks is in {path}")
        return mask

    def _take(self, item: SegmentedFrame | ResumeState) -> None:
        """In the writer's thread."""
        if isinstance(item, ResumeState):
            assert self.job.state_file is not None
            writers = [writer.checkpoint(item.frame) for writer in self.writers]
            self.job.state_file.save(item._replace(facts=item.facts | {"writers": writers}))
            return
        for writer in self.writers:
            writer.write(item)

    def _frames(self) -> Generator[Frame, None, None]:
        job = self.job
        resume_at = job.resumed.frame if job.resumed else 0
        chosen = job.range.select(job.source, resume_at)
        if job.options.live:
            frames = keep_newest(chosen, keep=job.annotations.awaits, note=self.reporter.note)
        else:
            frames = prefetch(chosen, self._depth())
        return self.reporter.track(frames, job.count_frames(), done=self.tracker.frames)

    def _depth(self) -> int:
        return max(1, min(DEPTH, QUEUE_BYTES // (3 * self.job.source.width * self.job.source.height)))

    def _save_due(self, mask: np.ndarray | None) -> bool:
        due = time.monotonic() - self._last_save >= self.job.options.save_every
        return bool(self.job.state_file and due and self.tracker.segmenter.can_resume(mask))

    def _save_start(self) -> None:
        """From here a run that is stopped at once goes on."""
        assert self.job.state_file is not None
        state = self._state(0, self.job.annotations.state(), segmenter=False)
        writers = [writer.checkpoint(0) for writer in self.writers]
        self.job.state_file.save(state._replace(facts=state.facts | {"writers": writers}))

    def _state(self, frame: int, left: list[int], *, segmenter: bool) -> ResumeState:
        """Of the run before a frame, but for the writers'.

        Args:
            left: what is given for this frame and later ones.
            segmenter: whether anything was segmented yet.
        """
        self._last_save = time.monotonic()
        facts = {"tracker": self.tracker.state(), "annotations": left}
        return ResumeState(frame, facts, self.tracker.segmenter.state() if segmenter else None)

    def _restore(self, state: ResumeState) -> int:
        """Goes on from there; returns how many frames were done."""
        self.tracker.restore(state.facts["tracker"])
        if state.segmenter:
            self.tracker.segmenter.restore(state.segmenter)
        self.job.annotations.restore(state.facts["annotations"])
        self.reporter.note(f"goes on at frame {state.frame}")
        return self.tracker.frames

    def _pass_backwards(self, spool: Spool) -> None:
        job = self.job
        if spool.complete and job.resumed:
            return
        first = job.range.start.frame or 0
        last = max(g.moment.frame for g in job.annotations.given if g.moment.frame is not None)
        source = job.open_again()
        try:
            frames = frames_backwards(source, job.range, first, last)
            tracker = Tracker(self.tracker.segmenter, lambda text: None)
            steps = pass_backwards(tracker, job.annotations, frames)
            total = (last - first) // job.range.stride + 1
            spool.fill(self.reporter.track(steps, total, "backwards"))
        finally:
            source.close()
        job.annotations.start_again()
        self.tracker.segmenter.reset()

    def _finish(self) -> None:
        """After the last frame: what was not used is said, and what only a resumed run needs goes away."""
        unused = self.job.annotations.unused
        if len(unused) > MOST_LINES:
            last, rest = unused[-1], len(unused) - 1
            self.reporter.note(f"{last.name} and {rest} other masks are beyond the end; they were not used")
        for given in unused if len(unused) <= MOST_LINES else ():
            self.reporter.note(f"{given.name}: frame {given.moment} is beyond the end; it was not used")
        if len(unused) == len(self.job.annotations.given):
            found, expected = f"frame {unused[0].moment} is beyond the end", "a frame of the video"
            raise InputError(unused[0].name, found=found, expected=expected, fix="--mask FRAME:MASK")
        if self.job.state_file:
            self.job.state_file.remove()
        for writer in self.writers:
            writer.clean_up()
        if self.spool:
            self.spool.remove()


def run_job(job: Job, segmenter: VideoSegmenter, threads: int | None, reporter: Reporter) -> Summary:
    """The run of a job that is prepared, from its first frame to its outputs.

    Args:
        threads: of PyTorch while it runs, as `thread_count` has them.

    Raises:
        InputError: as `Pipeline.run`, or an output shows what this network does not decide.
    """
    with thread_count(threads, segmenter.network):
        tracker = Tracker(
            segmenter, reporter.note, with_soft=job.uses_soft, with_decisions=job.needs_decisions
        )
        try:
            return Pipeline(job, tracker, reporter).run()
        except (KeyboardInterrupt, Terminated, OSError):
            if job.state_file and job.state_file.path.exists():
                reporter.note(
                    "what was finished is on disk; the same command with --resume goes on from there"
                )
            raise


def peak_rss_mib() -> float | None:
    """The most memory that this process ever held; None on Windows, which does not say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
