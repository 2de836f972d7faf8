"""One thread that owns the network, and does one job at a time."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from spvos_cli.errors import InputError, RunError

LINES = 5  # of remarks that a job keeps
PATIENCE = 60.0  # seconds in which a job that is told to stop has to


class Refused(Exception):
    """Something cannot be done now; told in one line."""


class Stopped(Exception):
    """Ends a job from inside, once it is told to stop."""


class WorkerJob:
    """Something that takes a while.

    Args:
        kind: "follow", "backward" or "export".
        run: does it; looks at `stopped` now and then, and may raise `Stopped`.
        note: takes what goes wrong beyond the user's input, with a trace.

    Attributes:
        number: that tells it from others of its worker.
        total: frames to do, None where nobody knows; done: those that are done.
        frame: the last one's number.
        result: a line about how it went, once it has ended.
        failed: whether that is an error.
        notes: remarks on the way, the last few.
    """

    def __init__(self, kind: str, run: Callable[[WorkerJob], str]) -> None:
        self.kind, self._run = kind, run
        self.number = 0
        self.total: int | None = None
        self.done, self.frame = 0, -1
        self.result, self.failed = "", False
        self.notes: deque[str] = deque(maxlen=LINES)
        self.started = time.monotonic()
        self._stop, self.ended = threading.Event(), threading.Event()

    @property
    def stopped(self) -> bool:
        """Whether it is to stop, or has."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Asks it to stop soon; what is done stays."""
        self._stop.set()

    def step(self, frame: int) -> None:
        """One more frame is done."""
        self.done, self.frame = self.done + 1, frame

    def run(self) -> None:
        """Does it; whatever happens, it has ended then."""
        self.started = time.monotonic()
        try:
            self.result = self._run(self)
        except Stopped:
            self.result = "stopped"
        except (InputError, RunError, Refused) as error:
            self.result, self.failed = str(error), True
        except OSError as error:
            self.result, self.failed = f"{error.filename or 'disk'}: {error.strerror}", True
        except Exception as error:
            self.result, self.failed = f"{type(error).__name__}: {error}", True
            raise
        finally:
            self.ended.set()

    def status(self) -> dict[str, Any]:
        """What is shown of it; JSON's types."""
        seconds = time.monotonic() - self.started
        fps = self.done / seconds if seconds and not self.ended.is_set() else 0.0
        left = (self.total - self.done) / fps if fps and self.total is not None else None
        return {
            "number": self.number,
            "kind": self.kind,
            "running": not self.ended.is_set(),
            "done": self.done,
            "total": self.total,
            "frame": self.frame,
            "fps": round(fps, 2),
            "seconds_left": None if left is None else round(left, 1),
            "result": self.result,
            "failed": self.failed,
            "notes": list(self.notes),
        }


class Worker:
    """Runs jobs, one after the other is done.

    Attributes:
        job: the last one that was started; None before the first.
    """

    def __init__(self) -> None:
        self.job: WorkerJob | None = None
        self._jobs: queue.Queue[WorkerJob | None] = queue.Queue()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)
        self._thread.start()

    @property
    def running(self) -> WorkerJob | None:
        """The job that has not ended; None where there is none."""
        return self.job if self.job and not self.job.ended.is_set() else None

    def start(self, job: WorkerJob) -> None:
        """Has a job done.

        Raises:
            Refused: there is another one.
        """
        with self._lock:
            if running := self.running:
                raise Refused(f"{running.kind} is running; Escape stops it")
            job.number = self.job.number + 1 if self.job else 1
            self.job = job
            self._jobs.put(job)

    def stop(self) -> None:
        """Stops the job that runs, and waits until it has.

        Raises:
            Refused: it does not end.
        """
        job = self.running
        if job:
            job.stop()
            if not job.ended.wait(PATIENCE):
                raise Refused(f"{job.kind} does not stop")

    def close(self) -> None:
        """Stops all."""
        self.stop()
        self._jobs.put(None)
        self._thread.join(PATIENCE)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job.run()
            except Exception:
                import traceback

                traceback.print_exc()  # on stderr: a fault of ours, which its job tells in a line
