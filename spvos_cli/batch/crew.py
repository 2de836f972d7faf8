"""Workers, as the schedule sees them: where they are is the business of those who make them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from spvos_cli.batch.video_job import VideoJob
from spvos_cli.batch.work import Event


class Ready(NamedTuple):
    """A worker can take jobs.

    Attributes:
        place: the machine that it is on; empty: this one.
    """

    place: str = ""


class Died(NamedTuple):
    """A worker is no more.

    Attributes:
        reason: as far as the system says.
        blameless: whether its job cannot be the cause, for its machine is gone.
    """

    reason: str
    blameless: bool = False


class Worker(Protocol):
    """Takes a job at a time."""

    def give(self, job: VideoJob) -> None:
        """Starts a job; how it goes, `Crew.wait` tells."""

    def stop(self) -> None:
        """Ends the worker, which has nothing to do."""


class Crew(Protocol):
    """Makes workers."""

    def start(self) -> Worker:
        """A fresh one; it tells when it is ready."""

    def wait(self, seconds: float) -> Iterable[tuple[Worker, Event | Ready | Died]]:
        """What happened to workers, as soon as anything does. Of one that was stopped nothing is told."""

    def close(self) -> None:
        """Ends all of them, whatever they do."""
