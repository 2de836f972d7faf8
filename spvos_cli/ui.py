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
        """One line, broken between words where a terminal is narrower."""
        self._print(text, "dim")

    def warn(self, text: str) -> None:
        """One line about something that is probably not as it should be."""
        self._print(f"warning: {text}", "yellow")

    def track(
        self,
        items: Iterable[T],
        total: int | None,
        label: str = "segmenting",
        rate: str = "fps",
        done: int = 0,
    ) -> Generator[T, None, None]:
        """The items, with a bar, a rate and the time left while they are used; only on a terminal. Some of
        the total may be done already."""
        with self.progress(total, label, rate) as show:
            if done:
                show(done)
            for number, item in enumerate(items, done + 1):
                yield item
                show(number)

    def _print(self, text: str, style: str) -> None:
        self.console.print(text, style=style, markup=False, soft_wrap=not self.console.is_terminal)

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


def print_error(console: Console, cause: str, expected: str = "", cure: str = "") -> None:
    """What ends a command, on a terminal: broken between words, with the cause bold and the cure dim."""
    console.print(Text.assemble((f"spvos: {cause}", "bold"), expected, (cure, "dim")))
