"""What users see of many videos: bars while they run, remarks with names, and a table at the end."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from spvos_cli.batch.schedule import Seen
from spvos_cli.batch.summary import BatchSummary
from spvos_cli.batch.video_job import FAILED, KEPT, VideoJob, VideoResult
from spvos_cli.batch.work import Said
from spvos_cli.ui import Reporter

LONG_TABLE = 40  # videos; of more only those that failed have a line


class Board:
    """A bar for all videos, with the time left, and one for each worker; as a context.

    Args:
        jobs: that are to be done.
    """

    def __init__(self, jobs: Mapping[int, VideoJob], reporter: Reporter) -> None:
        console = reporter.console
        columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
        hidden = console.quiet or not console.is_terminal
        self.bars = Progress(*columns, console=console, disable=hidden, speed_estimate_period=300)
        self.reporter = reporter
        known = all(job.frames for job in jobs.values())
        self._weights = {place: (job.frames or 1) if known else 1 for place, job in jobs.items()}
        self._parts: dict[int, float] = {}
        self._all = self.bars.add_task(f"{len(jobs)} videos", total=sum(self._weights.values()))
        self._workers: dict[int, TaskID] = {}
        self._said: set[str] = set()

    def __enter__(self) -> Board:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def show(self, seen: Seen) -> None:
        """What happened."""
        what, name = seen.what, seen.job.name if seen.job else ""
        if isinstance(what, Said):
            self._say(name, what.text)
        elif isinstance(what, VideoResult):
            self._hide_worker(seen.worker)
            self._advance(seen.place, 1.0)
            if what.status == FAILED:
                self._say(name, f"failed: {what.reason}")
        else:
            text = f"  {name}: {what.label}"
            if seen.worker not in self._workers:
                self._workers[seen.worker] = self.bars.add_task(text)
            self.bars.update(
                self._workers[seen.worker], description=text, completed=what.done, total=what.total
            )
            if what.total and what.label == "segmenting":
                self._advance(seen.place, min(1.0, what.done / what.total))

    def _advance(self, place: int | None, part: float) -> None:
        if place is not None:
            before = self._parts.get(place, 0.0)
            self._parts[place] = part
            self.bars.update(self._all, advance=self._weights[place] * (part - before))

    def _hide_worker(self, worker: int) -> None:
        if (task := self._workers.pop(worker, None)) is not None:
            self.bars.remove_task(task)

    def _say(self, name: str, text: str) -> None:
        """What each worker says of its network is said once."""
        line = text if text.startswith("model ") else f"{name}: {text}"
        if line not in self._said:
            self._said.add(line)
            self.reporter.note(line)


def show_table(summary: BatchSummary, reporter: Reporter) -> None:
    """A line for each video, or, where there are many, for each that failed; and what all of it took."""
    rows = summary.videos
    if len(rows) > LONG_TABLE:
        rows = [result for result in rows if result.status == FAILED]
    table = Table("video", "", "frames", "fps", "outputs, or why not", box=None, pad_edge=False)
    for result in rows:
        made = result.summary
        figures = [str(made.frames), f"{made.fps:.1f}" if result.status != KEPT else ""] if made else ["", ""]
        text = ", ".join(made.outputs) if made else result.reason or ""
        name = " ".join(dict.fromkeys(filter(None, (result.where, result.input))))
        table.add_row(name, result.status, *figures, text)
    if rows:
        reporter.console.print(table, markup=False, soft_wrap=True)
    counts = f"{summary.done} done, {summary.kept} as they were, {summary.failed} failed"
    pace = f"{summary.frames} frames in {summary.seconds:.1f} s, {summary.fps:.1f} fps"
    reporter.note(f"{len(summary.videos)} videos: {counts}; {pace}")
