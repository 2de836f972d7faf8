"""Workers that are processes of this machine."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

from spvos_cli.batch.crew import Died, Ready
from spvos_cli.batch.video_job import VideoJob
from spvos_cli.batch.work import Event, JobRunner, share_processors
from spvos_cli.errors import Terminated, raise_terminated
from spvos_cli.process import make_own

PATIENCE = 20.0  # seconds that a worker has to close what it writes


class LocalWorker:
    """A process with a pipe to it."""

    def __init__(self, threads: int) -> None:
        # Processes are spawned: a fork of a process with PyTorch's threads may hang.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, threads), name="spvos worker", daemon=True)
        self.process.start()
        theirs.close()

    def give(self, job: VideoJob) -> None:
        try:
            self.connection.send(job)
        except OSError:  # it has died, which is told when it is waited for
            return

    def stop(self) -> None:
        """A worker that hears nothing more ends."""
        self.connection.close()

    def heard(self) -> Iterator[Event | Ready]:
        """What it has said since; one that is killed may leave half a message."""
        try:
            while self.connection.poll():
                yield self.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return

    def death(self) -> Died:
        """Of a process that has ended without being asked."""
        self.process.join()
        code = self.process.exitcode or 0
        self.connection.close()
        self.process.close()
        if code == -signal.SIGKILL:
            return Died("its process was killed (SIGKILL), as systems do where memory runs out")
        if code < 0:
            return Died(f"its process was ended by {signal.Signals(-code).name}")
        return Died(f"its process ended with exit code {code}")


class LocalCrew:
    """Processes, each with its share of threads."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._workers: list[LocalWorker] = []
        self._ending: list[LocalWorker] = []

    def start(self) -> LocalWorker:
        worker = LocalWorker(self.threads)
        self._workers.append(worker)
        return worker

    def wait(self, seconds: float) -> Iterator[tuple[LocalWorker, Event | Ready | Died]]:
        self._reap()
        signs: dict[Any, LocalWorker] = {}
        for worker in self._workers:
            signs |= {worker.connection: worker, worker.process.sentinel: worker}
        for worker in {signs[sign]: None for sign in wait(list(signs), seconds)}:
            ended = worker.process.exitcode is not None  # before its last words are heard
            for event in worker.heard():
                yield worker, event
            if ended and not worker.connection.closed:
                self._workers.remove(worker)
                yield worker, worker.death()

    def close(self) -> None:
        """Workers close what they write, and are killed where that takes too long."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in [*self._workers, *self._ending]:
            worker.connection.close()
        end = time.monotonic() + PATIENCE
        for worker in [*self._workers, *self._ending]:
            worker.process.join(max(0.0, end - time.monotonic()))
            worker.process.kill()
            worker.process.join()
            worker.process.close()
        self._workers, self._ending = [], []

    def _reap(self) -> None:
        """Workers that were stopped are forgotten when their processes have ended."""
        self._ending += [worker for worker in self._workers if worker.connection.closed]
        self._workers = [worker for worker in self._workers if not worker.connection.closed]
        for worker in [worker for worker in self._ending if worker.process.exitcode is not None]:
            self._ending.remove(worker)
            worker.process.close()


def _work(connection: Connection, threads: int) -> None:
    """A worker's life. It ends when nobody is at the other end of the pipe."""
    make_own()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the process that started it
    signal.signal(signal.SIGTERM, raise_terminated)
    share_processors(threads)
    talking = threading.Lock()

    def tell(event: Event | Ready) -> None:
        with talking:  # writers make remarks in threads of their own
            connection.send(event)

    runner = JobRunner(threads, tell)
    try:
        tell(Ready())
        while True:
            tell(runner.run(connection.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError, Terminated):
        return
