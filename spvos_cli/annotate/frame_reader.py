"""Frames by number, in whatever order somebody looks at them."""

from __future__ import annotations

import threading
from collections import OrderedDict

from spvos_cli.video.frames import Frame, Source

KEPT = 60  # frames that stay in memory at most
KEPT_BYTES = 2**28  # of their pixels
AHEAD = 12  # frames up to which reading on is faster than a jump
BEHIND = 10  # frames that a step back reads beforehand: the next step goes back, too


class NoFrame(LookupError):
    """There is no frame of a number."""


class FrameReader:
    """Gives frames of a source, one caller at a time, and keeps those that were last looked at.

    Args:
        source: that `Source.frames_from` works with; it is closed by `close`.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.most = max(2, min(KEPT, KEPT_BYTES // (3 * source.width * source.height)))
        self._kept: OrderedDict[int, Frame] = OrderedDict()
        self._frames = source.frames_from(0)
        self._next = 0  # the number of the frame that comes next
        self._lock = threading.Lock()

    def frame(self, index: int) -> Frame:
        """A frame by its number.

        Raises:
            NoFrame: there is none.
        """
        with self._lock:
            if index not in self._kept:
                self._read(index)
            if index not in self._kept:
                raise NoFrame(index)
            self._kept.move_to_end(index)
            return self._kept[index]

    def close(self) -> None:
        """Closes the source."""
        with self._lock:
            self._frames = iter(())
            self.source.close()

    def _read(self, index: int) -> None:
        if not self._next <= index <= self._next + AHEAD:
            steps_back = index + 1 in self._kept
            self._next = max(0, index - min(BEHIND, self.most - 2)) if steps_back else index
            self._frames = self.source.frames_from(self._next)
        while self._next <= index and (frame := next(self._frames, None)) is not None:
            self._keep(frame)
            self._next = frame.index + 1

    def _keep(self, frame: Frame) -> None:
        self._kept[frame.index] = frame
        while len(self._kept) > self.most:
            self._kept.popitem(last=False)
