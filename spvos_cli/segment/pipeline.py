"""`segment_video`: a video and the masks of some of its frames in, the masks of all frames out."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spvos_cli.errors import InputError, Terminated
from spvos_cli.segment.backward import Spool, frames_backwards, pass_backwards
from spvos_cli.segment.job import Job, box_files, prepare
from spvos_cli.segment.options import split_options
from spvos_cli.segment.resume import Saved
from spvos_cli.segment.tracker import Tracker
from spvos_cli.ui import Reporter
from spvos_cli.video.frames import Frame
from spvos_cli.video.palettes import indexed_image
from spvos_cli.video.threads import DEPTH, Background, newest, prefetch
from spvos_cli.video.writers.writer import SegmentedFrame, Writer

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
    """

    frames: int
    objects: int
    fps: float
    seconds: float
    outputs: list[str]
    density: float | None
    peak_rss_mib: float | None


def segment_video(
    input: str | Path,
    mask: str | Path | Sequence[str | Path] = (),
    output: str | Path | Sequence[str | Path] = (),
    *,
    reporter: Reporter | None = None,
    **options: Any,
) -> Summary:
    """Follows the objects of the given masks through a video.

    Args:
        input: a video file, a folder or glob of images, or "-" for a container on standard input.
        mask: a mask of the first frame, "FRAME:FILE", a folder of masks, or several of these.
        output: a folder (indexed PNGs), or a file whose suffix says what it is: .mp4 overlay, .mkv labels,
            .mov or .webm cut-out, .json COCO, .jsonl records, .png contact sheet; "-" for standard output;
            folders FOLDER.objects, FOLDER.rgba and FOLDER.soft. By default NAME_masks and NAME_overlay.mp4.
        reporter: where progress and remarks go; nowhere by default.
        options: fields of `SegmentOptions` (start, end, stride, backward, box, resume, overwrite ...) and of
            `EngineOptions` (model, weights, size, device, dtype ...): the names of the command's options.

    Raises:
        InputError: something given cannot be used; nothing has been written then.
        TypeError: there is no option of a name.
    """
    from spvos_cli.inference.engine import EngineOptions

    reporter = reporter or Reporter(quiet=True)
    own, engine = split_options(options, EngineOptions)
    masks, outputs = ([x] if isinstance(x, str | Path) else list(x) for x in (mask, output))
    job = prepare(input, masks, outputs, own, engine.shaping(), reporter.note)
    with contextlib.ExitStack() as stack:
        stack.callback(job.source.close)
        tracker = Tracker(engine.segmenter(reporter), reporter.note, with_soft=job.needs_soft)
        start = time.perf_counter()
        try:
            before = Run(job, tracker, reporter).go()
        except (KeyboardInterrupt, Terminated, OSError):
            if job.state and job.state.path.exists():
                reporter.note(
                    "what was finished is on disk; the same command with --resume goes on from there"
                )
            raise
    seconds = time.perf_counter() - start
    fps = (tracker.frames - before) / seconds
    paths, objects = [str(output.path) for output in job.outputs], len(job.annotations.objects)
    return Summary(tracker.frames, objects, fps, seconds, paths, tracker.density, peak_rss_mib())


class Run:
    """One run of a job, from the first frame that is left to do to the last."""

    def __init__(self, job: Job, tracker: Tracker, reporter: Reporter) -> None:
        self.job, self.tracker, self.reporter = job, tracker, reporter
        self.writers: list[Writer] = []
        self.spool: Spool | None = None
        self._last_save = time.monotonic()

    def go(self) -> int:
        """Returns how many frames an interrupted run had done."""
        job = self.job
        with contextlib.ExitStack() as stack:
            if job.options.backward:
                self.spool = job.spool(stack)
                self._pass_backwards()
            self.writers = job.open_writers(stack)
            before = self._restore() if job.saved else 0
            if job.state and not job.saved:
                job.state.save(self._saved(0, job.annotations.state(), with_segmenter=False))
            frames = stack.enter_context(contextlib.closing(self._frames()))
            with Background(self._take, self._depth()) as background:
                for frame in frames:
                    self._do(frame, background)
        self._complete()
        return before

    def _do(self, frame: Frame, background: Background) -> None:
        annotations = self.job.annotations
        left = annotations.state()
        boxes = annotations.has_box(frame)
        mask = annotations.at(frame)
        if boxes:
            self._show_boxes(frame, mask)
        if self._save_due(mask):
            # the writer thread saves it after the frames before
            background.put(self._saved(frame.index, left, with_segmenter=True))
        segmented = self.tracker.step(frame, mask)
        background.put(self.spool.merge(segmented) if self.spool else segmented)

    def _take(self, item: SegmentedFrame | Saved) -> None:
        """In the writer's thread."""
        if isinstance(item, Saved):
            writers = [writer.checkpoint(item.frame) for writer in self.writers]
            self.job.state.save(item._replace(facts=item.facts | {"writers": writers}))
            return
        for writer in self.writers:
            writer.write(item)

    def _frames(self) -> Iterator[Frame]:
        job = self.job
        resume_at = job.saved.frame if job.saved else 0
        chosen = job.range.select(job.source, resume_at)
        if job.options.live:
            frames = newest(chosen, keep=job.annotations.awaits, note=self.reporter.note)
        else:
            frames = prefetch(chosen, self._depth())
        return self.reporter.track(frames, job.source.frames and job.source.frames // job.options.stride)

    def _depth(self) -> int:
        return max(1, min(DEPTH, QUEUE_BYTES // (3 * self.job.source.width * self.job.source.height)))

    def _save_due(self, mask: np.ndarray | None) -> bool:
        due = time.monotonic() - self._last_save >= self.job.options.save_every
        return bool(self.job.state and due and self.tracker.segmenter.can_resume(mask))

    def _saved(self, frame: int, left: list[int], *, with_segmenter: bool) -> Saved:
        self._last_save = time.monotonic()
        writers = [writer.checkpoint(frame) for writer in self.writers] if not with_segmenter else []
        facts = {"tracker": self.tracker.state(), "annotations": left, "writers": writers}
        return Saved(frame, facts, self.tracker.segmenter.state() if with_segmenter else None)

    def _restore(self) -> int:
        saved = self.job.saved
        self.tracker.restore(saved.facts["tracker"])
        if saved.segmenter:
            self.tracker.segmenter.restore(saved.segmenter)
        self.job.annotations.restore(saved.facts["annotations"])
        self.reporter.note(f"goes on at frame {saved.frame}")
        return self.tracker.frames

    def _pass_backwards(self) -> None:
        job = self.job
        last = max(g.moment.frame for g in job.annotations.given if g.moment.frame is not None)
        if self.spool.complete and job.saved:
            return
        source = job.open_again()
        try:
            frames = frames_backwards(source, job.range, job.range.start.frame or 0, last)
            tracker = Tracker(self.tracker.segmenter, lambda text: None)
            steps = pass_backwards(tracker, job.annotations, frames)
            self.spool.fill(self.reporter.track(steps, last + 1, "backwards"))
        finally:
            source.close()
        job.annotations.start_again()
        self.tracker.segmenter.reset()

    def _show_boxes(self, frame: Frame, mask: np.ndarray) -> None:
        """Writes the mask that GrabCut made, for checking."""
        reached = [str(g.moment) for g in self.job.annotations.given if g.moment.reached(frame)]
        for path in box_files(self.job):
            if path.stem.rpartition("_")[2] in reached and (not path.exists() or self.job.options.overwrite):
                indexed_image(mask, self.job.look.palette).save(path)
                self.reporter.note(f"the mask made from --box is in {path}")

    def _complete(self) -> None:
        """After the last frame: what was not used is said, and what only a resumed run needs goes away."""
        unused = self.job.annotations.unused
        for given in unused:
            self.reporter.note(f"{given.name}: frame {given.moment} is beyond the end; it was not used")
        if len(unused) == len(self.job.annotations.given):
            found = f"frame {unused[0].moment} is beyond the end"
            raise InputError(
                unused[0].name, found=found, expected="a frame of the video", fix="--mask FRAME:MASK"
            )
        if self.job.state:
            self.job.state.remove()
        for writer in self.writers:
            writer.clean_up()
        if self.spool:
            self.spool.remove()


def peak_rss_mib() -> float | None:
    """The most memory that this process ever held; None on Windows, which does not say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
