"""Signals while a run goes on: a step is never torn apart, and workers leave signals to their parent."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """SIGTERM and SIGINT are noted in a list instead of breaking into a step (in a main thread); the handlers
    there were are put back."""
    received: list[int] = []
    wanted = (signal.SIGTERM, signal.SIGINT) if _in_main_thread() else ()
    before = {number: signal.signal(number, lambda n, frame: received.append(n)) for number in wanted}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def quiet_child_signals() -> Iterator[None]:
    """SIGCHLD does nothing inside, where there is such a signal; the handler there was is put back.

    PyTorch's handler raises wherever the program stands when a process that makes clips dies. Without it that
    is noticed within seconds, where the clip is waited for.
    """
    number = getattr(signal, "SIGCHLD", None)  # Windows has none
    if number is None or not _in_main_thread():
        yield
        return
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)


def ignore_signals(worker: int) -> None:
    """In a process that makes clips: signals that go to the whole group are for the process that trains."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
