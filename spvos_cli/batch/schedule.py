"""Which worker does which job, and what happens to those that fail."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from spvos_cli.batch.crew import Crew, Died, Ready, Worker
from spvos_cli.batch.video_job import DONE, FAILED, VideoJob, VideoResult
from spvos_cli.batch.work import Ended, Progress, Said
from spvos_cli.errors import RunError

MOST_TRIES = 2
MOST_FAILED_STARTS = 3  # of workers, one after the other


class Try(NamedTuple):
    """A job that waits, or is being done.

    Attributes:
        place: of the job among all.
        number: of this try, from 1.
        after: of the workers that were started, as many as there were when it failed: it needs a later one.
    """

    place: int
    job: VideoJob
    number: int = 1
    after: int = 0


class Seen(NamedTuple):
    """Something to show: what a worker says while it does a job, or how a job ended.

    Attributes:
        worker: the number of the worker, from 1.
        place, job: of what it does; None where it does nothing.
        what: a remark, progress, or the result with which the job is over.
    """

    worker: int
    place: int | None
    job: VideoJob | None
    what: Said | Progress | VideoResult


class Schedule:
    """Gives jobs to workers until all are done or have failed twice.

    Args:
        jobs: by their places; they are begun in this order, and those that failed at the end.
        crew: makes workers.
        count: of workers at a time.
    """

    def __init__(self, jobs: Mapping[int, VideoJob], crew: Crew, count: int) -> None:
        self.crew, self.count = crew, count
        self._waiting = deque(Try(place, job) for place, job in jobs.items())
        self._started = 0
        self._numbers: dict[Worker, int] = {}
        self._idle: set[Worker] = set()
        self._busy: dict[Worker, Try] = {}
        self._failed_starts = 0

    def run(self, seconds: float = 0.5) -> Iterator[Seen]:
        """What happens, as it happens.

        Raises:
            RunError: workers die before they can do anything.
        """
        while self._waiting or self._busy:
            self._hand_out()
            for worker, event in self.crew.wait(seconds):
                yield from self._take(worker, event)

    def _hand_out(self) -> None:
        for worker in sorted(self._idle, key=self._numbers.__getitem__):
            if not self._waiting:
                self._retire(worker)
            elif self._waiting[0].after >= self._numbers[worker]:
                self._retire(worker)  # a fresh one takes its place
            else:
                self._idle.remove(worker)
                each = self._busy[worker] = self._waiting.popleft()
                worker.give(each.job)
        wanted = min(self.count, len(self._waiting) + len(self._busy))
        while len(self._numbers) < wanted:
            self._started += 1
            self._numbers[self.crew.start()] = self._started

    def _take(self, worker: Worker, event: Said | Progress | Ended | Ready | Died) -> Iterator[Seen]:
        number, each = self._numbers[worker], self._busy.get(worker)
        if isinstance(event, Ready):
            self._idle.add(worker)
            self._failed_starts = 0
        elif isinstance(event, Died):
            self._forget(worker)
            if each is not None:
                yield from self._fail(number, each, event.reason, counts=not event.blameless)
            else:
                self._count_failed_start(event.reason)
        elif isinstance(event, Ended):
            assert each is not None
            del self._busy[worker]
            self._idle.add(worker)
            if event.summary is not None:
                done = VideoResult(each.job.where, each.job.input, DONE, event.summary, tries=each.number)
                yield Seen(number, each.place, each.job, done)
                return
            if not event.told:  # who knows what is left in the process
                self._retire(worker)
            yield from self._fail(number, each, event.reason or "", counts=True)
        else:
            yield Seen(number, each.place if each else None, each.job if each else None, event)

    def _fail(self, worker: int, each: Try, reason: str, *, counts: bool) -> Iterator[Seen]:
        tries = each.number + counts
        if tries <= MOST_TRIES:
            self._waiting.append(each._replace(number=tries, after=self._started))
            yield Seen(worker, each.place, each.job, Said(f"failed, and is tried again: {reason}"))
            return
        result = VideoResult(each.job.where, each.job.input, FAILED, reason=reason, tries=each.number)
        yield Seen(worker, each.place, each.job, result)

    def _count_failed_start(self, reason: str) -> None:
        self._failed_starts += 1
        if self._failed_starts >= MOST_FAILED_STARTS:
            raise RunError(f"{self._failed_starts} workers died before they could begin ({reason})")

    def _retire(self, worker: Worker) -> None:
        self._forget(worker)
        worker.stop()

    def _forget(self, worker: Worker) -> None:
        self._idle.discard(worker)
        self._busy.pop(worker, None)
        del self._numbers[worker]
