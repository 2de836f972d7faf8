"""Workers that are actors of a Ray cluster, whose machines share the storage with this one."""

from __future__ import annotations

import logging
import os
import queue
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spvos_cli.batch.crew import Died, Ready
from spvos_cli.batch.video_job import VideoJob
from spvos_cli.batch.work import Ended, Event, JobRunner, share_processors
from spvos_cli.errors import InputError
from spvos_cli.process import make_own

PATIENCE = 5.0  # seconds for a cluster to answer
LISTENING = 1.0  # seconds that an actor waits for something to say
MOST_SAID = 300  # characters of Ray's reasons


class ClusterWorker:
    """An actor, and what it is asked to tell next."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.node: str | None = None
        self.listen()

    def listen(self) -> None:
        """Asks for what it has to say."""
        self.answer: Any = self.actor.heard.remote()

    def give(self, job: VideoJob) -> None:
        self.actor.run.remote(job)

    def stop(self) -> None:
        """An actor that nobody refers to ends."""
        self.actor = self.answer = None


class ClusterCrew:
    """Actors with so many CPUs each, and a GPU where there are some and the jobs may use them.

    Args:
        address: "auto", or that of a cluster.
        threads: of each actor.
        devices: that the jobs ask for.

    Raises:
        InputError: Ray is not installed, there is no such cluster, or it has no room for one actor.

    Attributes:
        room: actors that it has room for when nothing else runs on it.
        nodes: machines that it consists of.
    """

    def __init__(self, address: str, threads: int, devices: set[str]) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it tells its makers of runs otherwise
        try:
            import ray
        except ImportError as error:
            found, fix = "Ray is not installed", "pip install 'spvos[cluster]'"
            raise InputError("--cluster", found=found, expected="the extra cluster", fix=fix) from error
        self.ray: Any = ray
        self.threads, self._workers = threads, list[ClusterWorker]()
        self._own = not ray.is_initialized()
        if self._own:
            self._connect(address)
        has: dict[str, float] = self.ray.cluster_resources()
        cpus, gpus = has.get("CPU", 0), has.get("GPU", 0)
        self.gpu = "cuda" in devices or ("auto" in devices and gpus >= 1)
        self.room = int(min(cpus // threads, gpus) if self.gpu else cpus // threads)
        self.nodes = len(self._living())
        if self.room < 1:
            self.close()
            found = f"{cpus:g} CPUs and {gpus:g} GPUs"
            expected = f"{threads} CPUs{' and a GPU' if self.gpu else ''} for a worker"
            raise InputError(
                f"--cluster {address}", found=found, expected=expected, fix="--threads, --device"
            )

    def start(self) -> ClusterWorker:
        actor = self.ray.remote(Actor).options(
            num_cpus=self.threads, num_gpus=int(self.gpu), max_restarts=0, max_concurrency=2
        )
        self._workers.append(ClusterWorker(actor.remote(self.threads, os.getcwd())))
        return self._workers[-1]

    def wait(self, seconds: float) -> Iterator[tuple[ClusterWorker, Event | Ready | Died]]:
        self._workers = [worker for worker in self._workers if worker.answer is not None]
        answers = {worker.answer: worker for worker in self._workers}
        if not answers:
            time.sleep(seconds)
            return
        for answer in self.ray.wait(list(answers), timeout=seconds)[0]:
            worker = answers[answer]
            try:
                events = self.ray.get(answer)
            except self.ray.exceptions.RayError as error:
                self._workers.remove(worker)
                lost = worker.node is not None and worker.node not in self._living()
                yield worker, Died(_reason(error, lost=lost), blameless=lost)
                continue
            worker.listen()
            for event in events:
                if isinstance(event, Ready):
                    worker.node = event.place
                yield worker, event

    def close(self) -> None:
        for worker in self._workers:
            if worker.actor is not None:
                self.ray.kill(worker.actor)
        if self._own:
            self.ray.shutdown()

    def _connect(self, address: str) -> None:
        host, _, port = address.rpartition("/")[2].rpartition(":")
        try:
            if port.isdecimal():  # Ray itself tries for minutes
                socket.create_connection((host, int(port)), PATIENCE).close()
            self.ray.init(address, log_to_driver=False, logging_level=logging.FATAL)
        except (OSError, ValueError, RuntimeError) as error:
            found = getattr(error, "strerror", None) or " ".join(str(error).split())[:MOST_SAID]
            found = "this machine is in no cluster" if address == "auto" else found
            expected, fix = "the address of a Ray cluster that runs", "ray start --head begins one"
            raise InputError(f"--cluster {address}", found=found, expected=expected, fix=fix) from error

    def _living(self) -> set[str]:
        return {node["NodeID"] for node in self.ray.nodes() if node["Alive"]}


class Actor:
    """The process of a worker. Two calls run at a time: one that does a job, and one that tells of it.

    Args:
        threads: of the CPU.
        folder: that names of files are in, on storage that all machines share.
    """

    def __init__(self, threads: int, folder: str) -> None:
        self._said: queue.Queue[Event | Ready] = queue.Queue()
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"{folder} is no folder on this machine; a cluster's machines share it")
        os.chdir(folder)
        make_own()
        share_processors(threads)
        self._runner = JobRunner(threads, self._said.put)
        import ray

        self._said.put(Ready(ray.get_runtime_context().get_node_id()))

    def run(self, job: VideoJob) -> None:
        """Does a job; how it goes, `heard` says."""
        try:
            ended = self._runner.run(job)
        except BaseException as error:
            ended = Ended(None, f"{type(error).__name__}: {error}")
        self._said.put(ended)

    def heard(self) -> list[Event | Ready]:
        """What happened since the last call, as soon as anything did."""
        try:
            events = [self._said.get(timeout=LISTENING)]
        except queue.Empty:
            return []
        while not self._said.empty():
            events.append(self._said.get())
        return events


def _reason(error: Exception, *, lost: bool) -> str:
    """In a line."""
    if lost:
        return "the machine that it was on is gone"
    text = " ".join(str(error).split())
    return f"its worker died ({text[:MOST_SAID]})"
