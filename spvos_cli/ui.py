"""What users see while a command runs, all of it on stderr."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

T = TypeVar("T")


class RateColumn(ProgressColumn):
    """Frames a second, or whatever the unit is."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} {self.unit}" if task.speed else "", style="cyan")


class Reporter:
    """Remarks and progress.

    Args:
        quiet: says nothing at all.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)

    def note(self, text: str) -> None:
        """One line."""
        self.console.print(text, style="dim", markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """One line about something that is probably not as it should be."""
        self.console.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=True)

    def track(
        self, items: Iterable[T], total: int | None, label: str = "segmenting", rate: str = "fps"
    ) -> Generator[T, None, None]:
        """The items, with a bar, a rate and the time left while they are used; only on a terminal."""
        with self.progress(total, label, rate) as show:
            for done, item in enumerate(items, 1):
                yield item
                show(done)

    @contextmanager
    def progress(self, total: int | None, label: str, rate: str) -> Iterator[Callable[[float], None]]:
        """A bar with a rate and the time left, for work that is no loop over items; only on a terminal. What
        comes back takes how much of the total is done."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            RateColumn(rate),
            TimeRemainingColumn(),
        )
        hidden = self.console.quiet or not self.console.is_terminal
        with Progress(*columns, console=self.console, disable=hidden) as progress:
            task = progress.add_task(label, total=total)
            yield lambda done: progress.update(task, completed=int(done))
