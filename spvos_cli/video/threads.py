"""Reading and writing beside the network: a thread each, with queues of bounded length in between."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")
DEPTH = 8  # frames that wait in a queue at most
PATIENCE = 5.0  # seconds that a reader is given to stop; one that waits for a stream never does
_END = object()


def prefetch(items: Iterable[T], depth: int = DEPTH) -> Generator[T, None, None]:
    """The items, made in a thread, at most `depth` ahead. An exception there is raised here, after the items
    before it."""
    waiting: queue.Queue[Any] = queue.Queue(depth)
    stop = threading.Event()

    def put(item: object) -> bool:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def produce() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
            put((_END, None))
        except BaseException as error:
            put((_END, error))

    thread = threading.Thread(target=produce, name="reader", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stop.set()
        thread.join(PATIENCE)


def keep_newest(
    items: Iterable[T], keep: Callable[[T], bool], note: Callable[[str], None] = lambda text: None
) -> Iterator[T]:
    """The items as they come, without those that are superseded before anybody asks for them (live input).

    Args:
        keep: whether an item may not be dropped.
        note: takes a line about how many were dropped, at the end.
    """
    waiting: deque[Any] = deque()
    ready, dropped = threading.Condition(), 0

    def produce() -> None:
        nonlocal dropped
        end: tuple[object, BaseException | None] = (_END, None)
        try:
            for item in items:
                with ready:
                    if waiting and not keep(waiting[-1][0]):
                        waiting.pop()
                        dropped += 1
                    waiting.append((item, None))
                    ready.notify()
        except BaseException as error:
            end = (_END, error)
        with ready:
            waiting.append(end)
            ready.notify()

    threading.Thread(target=produce, name="live reader", daemon=True).start()
    while True:
        with ready:
            ready.wait_for(lambda: waiting)
            item, error = waiting.popleft()
        if error is not None:
            raise error
        if item is _END:
            break
        yield item
    if dropped:
        note(f"{dropped} frames came too fast and were dropped (--live)")


class Background(Generic[T]):
    """Calls a function with items, in order, in a thread, at most `depth` behind. As a context it waits for
    the last.

    An exception there is raised by the next `put`, or when the context ends.
    """

    def __init__(self, function: Callable[[T], None], depth: int = DEPTH) -> None:
        self._function = function
        self._waiting: queue.Queue[Any] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._consume, name="writer", daemon=True)

    def __enter__(self) -> Background[T]:
        self._thread.start()
        return self

    def put(self, item: T) -> None:
        if self._error is not None:
            raise self._error
        self._waiting.put(item)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._waiting.put(_END)
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def _consume(self) -> None:
        """After an exception items are only taken away, so that nobody waits for a place in the queue."""
        while (item := self._waiting.get()) is not _END:
            if self._error is None:
                try:
                    self._function(item)
                except BaseException as error:
                    self._error = error
