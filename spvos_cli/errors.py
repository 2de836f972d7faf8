"""The one exception that users see: bad input, told in one line."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path


class InputError(Exception):
    """Something that the user gave cannot be used; the command line prints it and exits with 2.

    Args:
        what: the file, folder or option.
        found: what was found there.
        expected: what should have been there.
        fix: the option or step that mends it.
    """

    def __init__(self, what: str | Path, *, found: str, expected: str, fix: str) -> None:
        super().__init__(f"{what}: {found}; expected {expected} ({fix})")
        self._what = what
        self._rest = {"found": found, "expected": expected, "fix": fix}

    @property
    def parts(self) -> tuple[str, str, str]:
        """The message as cause, what was expected, and the cure."""
        found, expected, fix = (self._rest[name] for name in ("found", "expected", "fix"))
        return f"{self._what}: {found}", f"; expected {expected}", f" ({fix})"

    def __reduce__(self) -> tuple[Callable[..., InputError], tuple[str | Path]]:
        """How it comes back whole from another process."""
        return partial(InputError, **self._rest), (self._what,)


class RunError(Exception):
    """A run cannot go on, for no fault of its input; told in one line, and the command line exits with 1."""


class Terminated(Exception):
    """SIGTERM came; the command line exits with 143."""


def raise_terminated(number: int, frame: object) -> None:
    """A handler of SIGTERM, so that what is being written is closed."""
    raise Terminated


class ReaderGone(Exception):
    """Who read standard output has closed it; nothing is wrong, and the command line exits with 0.

    Not a BrokenPipeError, which Typer takes for a failure.
    """
