"""The memory bank: keys and values of the frames that later frames are matched against, bounded in number."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import torch
from torch import Tensor

from spvos_cli.model.network import LastFrame, Memory


class MemoryFrame(NamedTuple):
    """One frame's key (1, pixels, Ck) and its objects' values (1, K, pixels, Cv)."""

    key: Tensor
    value: Tensor


class MemoryBank:
    """The memory of objects that joined at the same frame: at most 2 * max(1, `max_frames`) + 2 frames.

    The annotated frame at which they joined always stays. Of the annotated frames after it the newest stay,
    at most `max_frames` and at least one; of the other memory frames likewise the newest, at most
    `max_frames`. The previous frame, where the network reads it, is there as well and goes when the next one
    comes, unless it was a memory frame.

    Attributes:
        annotated, recent: memory frames.
        newest: the previous frame among them.
        last: the previous frame alone, whole.
    """

    def __init__(self, max_frames: int) -> None:
        self.max_frames = max_frames
        self.annotated: list[MemoryFrame] = []
        self.recent: deque[MemoryFrame] = deque(maxlen=max_frames)
        self.newest: MemoryFrame | None = None
        self.last: LastFrame | None = None
        self._memory: Memory | None = None

    def add(
        self, frame: MemoryFrame, *, annotated: bool, memory_frame: bool, last: LastFrame | None = None
    ) -> None:
        """Remembers a frame.

        Args:
            frame: as it is matched together with the rest of the memory.
            annotated: whether masks were given in it.
            memory_frame: whether it stays beyond the next frame.
            last: all of it, where that is not the same.
        """
        self.newest, self.last = frame, last or LastFrame(*frame)
        if annotated:
            self.annotated.append(frame)
            if len(self.annotated) > 1 + max(1, self.max_frames):
                del self.annotated[1]
        elif memory_frame:
            self.recent.append(frame)
        self._memory = None

    def read(self) -> Memory:
        """All frames side by side; made anew only when a frame was added.

        Raises:
            ValueError: no frame was added yet.
        """
        if self.last is None:
            raise ValueError("nothing is remembered yet")
        if self._memory is None:
            key, value = (torch.cat(parts, dim=-2) for parts in zip(*self._frames(), strict=True))
            self._memory = Memory(key, value, self.last)
        return self._memory

    def keep_objects(self, rows: list[int]) -> None:
        """Forgets the values of all objects but those in the given rows."""
        kept = {id(frame): MemoryFrame(frame.key, frame.value[:, rows]) for frame in self._frames()}
        self.annotated = [kept[id(frame)] for frame in self.annotated]
        self.recent = deque((kept[id(frame)] for frame in self.recent), maxlen=self.recent.maxlen)
        self.newest = self.newest and kept[id(self.newest)]
        self.last = self.last and self.last._replace(value=self.last.value[:, rows])
        self._memory = None

    def tensors(self) -> dict[str, Tensor]:
        """Copies of all that it holds, by names that tell what is what."""
        named: dict[str, Tensor] = {}
        for number, frame in enumerate(self._frames()):
            kind = "annotated" if number < len(self.annotated) else "recent"
            kind = kind if self._stays(frame) else "passing"
            newest = ".newest" if frame is self.newest else ""
            named |= {f"{kind}.{number}{newest}.{part}": x.clone() for part, x in frame._asdict().items()}
        last = self.last._asdict() if self.last else {}
        return named | {f"last.{part}": x.clone() for part, x in last.items() if x is not None}

    @classmethod
    def from_tensors(cls, max_frames: int, tensors: dict[str, Tensor]) -> MemoryBank:
        """The inverse of `tensors`, in whatever order a file has them."""
        bank = cls(max_frames)
        for name in sorted({name.rpartition(".")[0] for name in tensors}, key=_order):
            key, value = tensors[f"{name}.key"], tensors[f"{name}.value"]
            if name == "last":
                bank.last = LastFrame(key, value, tensors.get("last.positions"))
                continue
            frame = MemoryFrame(key, value)
            if not name.startswith("passing"):
                (bank.annotated if name.startswith("annotated") else bank.recent).append(frame)
            if name.endswith("newest"):
                bank.newest = frame
        return bank

    def _stays(self, frame: MemoryFrame | None) -> bool:
        return any(frame is each for each in [*self.annotated, *self.recent])

    def _frames(self) -> list[MemoryFrame]:
        passing = [self.newest] if self.newest and not self._stays(self.newest) else []
        return [*self.annotated, *self.recent, *passing]


def _order(name: str) -> tuple[str, int]:
    """Of names as `tensors` gives them, by kind and number: `recent.2` comes before `recent.10`."""
    kind, number, *_ = [*name.split("."), "0"]
    return kind, int(number) if number.isdigit() else 0
