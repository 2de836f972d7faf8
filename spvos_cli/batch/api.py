"""What Python programs call for many videos."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spvos_cli.batch.board import Board
from spvos_cli.batch.job_file import read_job_file, read_values, rows_of
from spvos_cli.batch.local import LocalCrew
from spvos_cli.batch.naming import MaskFolder
from spvos_cli.batch.plan import make_plan
from spvos_cli.batch.schedule import Schedule
from spvos_cli.batch.summary import BatchSummary
from spvos_cli.batch.video_job import VideoJob, VideoResult
from spvos_cli.processors import default_threads
from spvos_cli.ui import Reporter

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from spvos_cli.batch.crew import Crew
    from spvos_cli.segment.keywords import VideoKeywords

WORKER_BYTES = 2**30  # of memory, for a worker and what it reads at 480p: 0.7 GB and some room


def segment_videos(
    jobs: str | Path | Iterable[Mapping[str, Any]],
    output: str | Path | Iterable[str | Path] = (),
    *,
    mask_dir: str | Path | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    reporter: Reporter | None = None,
    **options: Unpack[VideoKeywords],
) -> BatchSummary:
    """Segments many videos, each as `segment_video` does, in several processes. Videos whose outputs an
    earlier call made are left as they are, as long as input, masks, weights and options are the same.

    A script that calls it needs `if __name__ == "__main__":`, for the processes load it, too.

    Args:
        jobs: a table (.csv, .jsonl) whose columns are names of options, or dictionaries of the same names:
            `input`, `mask`, `output`, `start` and so on.
        output: of jobs that name none, with {name}, {parent} or {number} in the name.
        mask_dir: a folder with NAME.png, or with a folder NAME, for jobs without mask, box and click.
        workers: processes; by default as many as there are processors and memory for, on a GPU 1, and on a
            cluster as many as it has room for.
        cluster: "auto", for the Ray cluster that this machine is part of, or the address of one.
        reporter: where progress and remarks go; nowhere by default.
        options: of `segment_video`, for jobs that do not say otherwise. `threads` are shared by the workers
            of this machine; each worker of a cluster has as many (by default 1).

    Returns:
        What became of each job, those included that were wrong from the start.

    Raises:
        InputError: the table or the folder of masks cannot be read, or there is no cluster.
        RunError: workers die before they can begin.
        TypeError: there is no option of a name.
    """
    reporter = reporter or Reporter(quiet=True)
    defaults: dict[str, Any] = {name: value for name, value in options.items() if name != "threads"}
    try:
        defaults = read_values(defaults | {"output": [output] if isinstance(output, str | Path) else output})
    except ValueError as error:
        raise TypeError(f"segment_videos: {error}") from error
    rows = read_job_file(Path(jobs)) if isinstance(jobs, str | Path) else rows_of(jobs)
    masks = MaskFolder(Path(mask_dir)) if mask_dir is not None else None
    plan = make_plan(reporter.track(rows, len(rows), "checking", rate="videos/s"), defaults, masks)
    for bad in plan.bad:
        reporter.warn(f"{bad.where}: {bad.reason}")
    results, start = dict(plan.results), time.perf_counter()
    if plan.jobs:
        crew, count = choose_crew(plan.jobs, workers, cluster, options.get("threads"), reporter)
        try:
            with Board(plan.jobs, reporter) as board:
                for seen in Schedule(plan.jobs, crew, count).run():
                    board.show(seen)
                    if isinstance(seen.what, VideoResult) and seen.place is not None:
                        results[seen.place] = seen.what
        finally:
            crew.close()
    return BatchSummary([results[place] for place in sorted(results)], time.perf_counter() - start)


def choose_crew(
    jobs: Mapping[int, VideoJob],
    workers: int | None,
    cluster: str | None,
    threads: int | None,
    reporter: Reporter,
) -> tuple[Crew, int]:
    """Workers here or on a cluster, and how many of them.

    Raises:
        InputError: there is no such cluster, or it has no room for one.
    """
    on_gpu = {job.engine.device for job in jobs.values()} - {"cpu"}
    if cluster is not None:
        from spvos_cli.batch.cluster import ClusterCrew

        crew = ClusterCrew(cluster, threads or 1, on_gpu)
        count = min(workers or crew.room, len(jobs))
        reporter.note(f"to segment: {len(jobs)}, machines: {crew.nodes}, workers: {count}")
        return crew, count
    threads = threads or default_threads()
    count = min(workers or _room(threads, gpu=bool(on_gpu)), len(jobs))
    each = max(1, threads // count)
    reporter.note(f"to segment: {len(jobs)}, workers: {count}, threads of each: {each}")
    return LocalCrew(each), count


def _room(threads: int, *, gpu: bool) -> int:
    """Workers of one thread each, as far as memory goes: on two cores two of them do 1.3 times what one with
    two threads does. One on a GPU."""
    if gpu and shutil.which("nvidia-smi"):
        return 1
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    return max(1, min(threads, pages // WORKER_BYTES)) if pages else threads
