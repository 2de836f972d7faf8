"""What users see on a terminal: messages, and how far a run is."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from rich.console import Console

from spvos_cli.errors import InputError
from spvos_cli.ui import Reporter, print_error

MESSAGE = "clip.mp4: a mask that nobody has ever seen before was found there; it was not used at all"


@pytest.fixture
def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=30, color_system="standard")


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_messages_are_broken_between_words(terminal: Console) -> None:
    reporter = Reporter()
    for console in (terminal, plain := Console(file=io.StringIO(), width=30)):
        reporter.console = console
        reporter.note(MESSAGE)
    assert shown(plain) == MESSAGE + "\n"
    plainly = Console(file=io.StringIO(), force_terminal=True, width=30, color_system=None)
    reporter.console = plainly
    reporter.note(MESSAGE)
    lines = shown(plainly).splitlines()
    assert len(lines) > 2
    assert " ".join(line.strip() for line in lines) == MESSAGE


def test_errors_show_cause_and_cure(terminal: Console) -> None:
    error = InputError("a.png", found="no mask [at all]", expected="one", fix="--mask MASK")
    assert "".join(error.parts) == str(error)
    print_error(terminal, *error.parts)
    assert shown(terminal).startswith("\x1b[1mspvos: a.png: no mask [at")
    assert "\x1b[2m (--mask" in shown(terminal).split("; expected one")[1]


def test_a_bar_goes_on_where_a_run_was() -> None:
    shown_at: list[float] = []

    class Told(Reporter):
        @contextmanager
        def progress(self, total: int | None, label: str, rate: str) -> Iterator[Callable[[float], None]]:
            assert total == 12
            yield shown_at.append

    assert list(Told().track("abc", 12, done=9)) == ["a", "b", "c"]
    assert shown_at == [9, 10, 11, 12]
    shown_at.clear()
    assert list(Told().track("ab", 12)) == ["a", "b"]
    assert shown_at == [1, 2]
