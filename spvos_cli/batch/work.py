"""What a worker does: one job after the other, with a network that it loads once."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from spvos_cli.batch.plan import engine_shape
from spvos_cli.batch.record import Record
from spvos_cli.batch.video_job import VideoJob
from spvos_cli.errors import InputError, RunError
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.segment.job import Job, prepare
from spvos_cli.segment.pipeline import Summary, run_job
from spvos_cli.segment.uses import LOADS, USES
from spvos_cli.ui import Reporter

if TYPE_CHECKING:  # a worker loads them, the process that starts workers does not
    from spvos_cli.inference.segmenter import VideoSegmenter
    from spvos_cli.model.network import VOSNetwork
    from spvos_cli.video.suggest import Suggest

PACE = 0.2  # seconds between two words about progress
LOADING = tuple(name for name, uses in USES.items() if LOADS in uses)  # options that make another network


class Said(NamedTuple):
    """Attributes: text, a remark."""

    text: str


class Progress(NamedTuple):
    """Attributes: label, of a pass over a video; done, of total, frames."""

    label: str
    done: int
    total: int | None


class Ended(NamedTuple):
    """How a job ended.

    Attributes:
        summary: None where it failed.
        reason: why it failed.
        told: whether spvos itself refuses the job, and the process is as good as before.
    """

    summary: Summary | None
    reason: str | None = None
    told: bool = False


Event = Said | Progress | Ended


class Teller(Reporter):
    """A reporter whose remarks and progress are events.

    Args:
        tell: takes them.
    """

    def __init__(self, tell: Callable[[Event], None]) -> None:
        super().__init__(quiet=True)
        self.tell = tell

    def note(self, text: str) -> None:
        self.tell(Said(text))

    def warn(self, text: str) -> None:
        self.tell(Said(f"warning: {text}"))

    @contextmanager
    def progress(self, total: int | None, label: str, rate: str) -> Iterator[Callable[[float], None]]:
        last = 0.0

        def show(done: float) -> None:
            nonlocal last
            if time.monotonic() - last >= PACE:
                last = time.monotonic()
                self.tell(Progress(label, int(done), total))

        yield show


class JobRunner:
    """Segments videos with the network of the last of them, as long as the options ask for the same.

    Args:
        threads: of the CPU.
        tell: takes remarks and progress.
    """

    def __init__(self, threads: int, tell: Callable[[Event], None]) -> None:
        self.threads, self.reporter = threads, Teller(tell)
        self._key: tuple[Any, ...] = ()
        self._network: VOSNetwork | None = None
        self._engines: dict[EngineOptions, tuple[dict[str, Any], Suggest]] = {}

    def run(self, job: VideoJob) -> Ended:
        """Makes a job's outputs, and the record of them. With the option resume an interrupted run goes on,
        where what is left of one is of the same job."""
        try:
            return Ended(self._run(job))
        except (InputError, RunError) as error:
            return Ended(None, str(error), told=True)
        except MemoryError:
            return Ended(None, "out of memory")
        except OSError as error:
            return Ended(None, f"{error.filename or job.input}: {error.strerror or error}")
        except Exception as error:
            first_line = str(error).split("\n")[0]
            return Ended(None, f"{type(error).__name__}: {first_line}")

    def _run(self, video: VideoJob) -> Summary:
        engine = dataclasses.replace(video.engine, threads=self.threads)
        job = self._prepare(video)
        with contextlib.closing(job.source):
            record = Record(job)
            segmenter = self._segmenter(engine)
            record.start()
            try:
                summary = run_job(job, segmenter, self.threads, self.reporter)
            except (InputError, RunError):
                record.remove_all()
                raise
            record.finish(summary)
        return summary

    def _prepare(self, video: VideoJob) -> Job:
        """The outputs that are there are this job's own: that was seen to when it was planned."""
        if video.engine not in self._engines:  # weights are read once
            self._engines[video.engine] = engine_shape(video.engine), video.engine.suggest()
        shape, suggest = self._engines[video.engine]
        for goes_on in dict.fromkeys((video.options.resume, False)):
            options = dataclasses.replace(video.options, overwrite=True, resume=goes_on)
            try:
                return prepare(
                    video.input,
                    video.masks,
                    video.outputs,
                    options,
                    shape,
                    self.reporter.note,
                    video.engine.weights,
                    suggest,
                )
            except InputError:  # the state may be another job's, or damaged
                if not goes_on:
                    raise
        raise AssertionError

    def _segmenter(self, engine: EngineOptions) -> VideoSegmenter:
        """With the network at hand, or one that is loaded, which is said."""
        key = tuple(getattr(engine, name) for name in LOADING)
        if self._network is not None and key == self._key:
            return engine.segmenter(Reporter(quiet=True), self._network)
        self._network = None  # two have no room in some memories
        segmenter = engine.segmenter(self.reporter)
        self._key, self._network = key, segmenter.network
        return segmenter


def share_processors(threads: int) -> None:
    """Gives this process, which is a worker's own, its share of threads."""
    import cv2

    from spvos_cli.inference.machine import use_threads

    use_threads(threads)
    cv2.setNumThreads(threads)
