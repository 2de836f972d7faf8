"""Who does what when jobs fail and workers die: with workers that only say so."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import pytest

from spvos_cli.batch.crew import Died, Ready
from spvos_cli.batch.schedule import Schedule
from spvos_cli.batch.video_job import DONE, FAILED, VideoJob, VideoResult
from spvos_cli.batch.work import Ended, Progress, Said
from spvos_cli.errors import RunError
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.segment.options import SegmentOptions
from spvos_cli.segment.pipeline import Summary

RIGHT = Ended(Summary(8, 1, 9.0, 1.0, ["out"], None, None))
REFUSED, ODD = Ended(None, "no mask", told=True), Ended(None, "ValueError: odd")
KILLED, LOST = Died("killed"), Died("gone", blameless=True)


class FakeWorker:
    """Says of each job what the script says of its next try."""

    def __init__(self, crew: FakeCrew, number: int) -> None:
        self.crew, self.number, self.stopped = crew, number, False

    def give(self, job: VideoJob) -> None:
        assert not self.stopped
        self.crew.given.append((job.name, self.number))
        event = self.crew.script[job.name].pop(0)
        self.crew.events += [(self, Said("on it")), (self, Progress("segmenting", 3, 8)), (self, event)]

    def stop(self) -> None:
        self.stopped = True


class FakeCrew:
    def __init__(self, script: dict[str, list[Ended | Died]], starts: Sequence[Died] = ()) -> None:
        self.script, self.starts = script, list(starts)
        self.workers: list[FakeWorker] = []
        self.given: list[tuple[str, int]] = []
        self.events: deque[tuple[FakeWorker, object]] = deque()

    def start(self) -> FakeWorker:
        self.workers.append(FakeWorker(self, len(self.workers) + 1))
        self.events.append((self.workers[-1], self.starts.pop(0) if self.starts else Ready()))
        return self.workers[-1]

    def wait(self, seconds: float):
        while self.events:
            worker, event = self.events.popleft()
            if not worker.stopped:
                yield worker, event

    def close(self) -> None: ...


def video_job(name: str) -> VideoJob:
    options, engine = SegmentOptions(), EngineOptions()
    return VideoJob(name, name, f"{name}.mp4", ("m.png",), (name,), options, engine, 8)


def run(crew: FakeCrew, count: int) -> dict[str, VideoResult]:
    jobs = {place: video_job(name) for place, name in enumerate(crew.script)}
    seen = list(Schedule(jobs, crew, count).run())
    results = {s.what.where: s.what for s in seen if isinstance(s.what, VideoResult)}
    assert sum(isinstance(s.what, VideoResult) for s in seen) == len(results) == len(jobs)
    return results


def test_jobs_are_shared_in_their_order() -> None:
    crew = FakeCrew({name: [RIGHT] for name in "abcd"})
    results = run(crew, 2)
    assert [(r.status, r.tries, r.summary.frames) for r in results.values()] == [(DONE, 1, 8)] * 4
    assert [name for name, _ in crew.given] == list("abcd")
    assert len(crew.workers) == 2


@pytest.mark.parametrize("failure", [REFUSED, ODD, KILLED])
def test_what_fails_is_tried_once_more_in_a_fresh_process(failure: Ended | Died) -> None:
    """After all others."""
    crew = FakeCrew({"a": [failure, RIGHT], "b": [RIGHT], "c": [RIGHT]})
    results = run(crew, 1)
    assert {name: (r.status, r.tries) for name, r in results.items()} == {
        "a": (DONE, 2),
        "b": (DONE, 1),
        "c": (DONE, 1),
    }
    assert [name for name, _ in crew.given] == ["a", "b", "c", "a"]
    first, *_, last = crew.given
    assert last[1] > first[1]


def test_a_process_in_which_something_odd_happened_does_no_more() -> None:
    crew = FakeCrew({"a": [ODD, ODD], "b": [RIGHT], "c": [REFUSED, REFUSED], "d": [RIGHT]})
    results = run(crew, 1)
    assert (results["a"].status, results["a"].reason, results["a"].tries) == (FAILED, "ValueError: odd", 2)
    assert results["c"].reason == "no mask"
    assert [number for _, number in crew.given[:4]] == [1, 2, 2, 2]  # a refusal harms nothing


def test_jobs_that_fail_alike_share_a_fresh_process() -> None:
    crew = FakeCrew({name: [REFUSED, REFUSED] for name in "abcd"})
    run(crew, 1)
    assert len(crew.workers) == 2


def test_a_job_is_not_blamed_for_its_machine() -> None:
    crew = FakeCrew({"a": [LOST, LOST, LOST, KILLED, RIGHT], "b": [KILLED, KILLED]})
    results = run(crew, 2)
    assert (results["a"].status, results["b"].status) == (DONE, FAILED)


def test_workers_that_cannot_begin_end_the_run() -> None:
    """A start that fails now and then does not."""
    crew = FakeCrew({"a": [RIGHT], "b": [RIGHT]}, [KILLED, KILLED])
    assert len(run(crew, 1)) == 2
    crew = FakeCrew({"a": [RIGHT]}, [KILLED] * 3)
    with pytest.raises(RunError, match=r"3 workers died before they could begin \(killed\)"):
        run(crew, 1)
