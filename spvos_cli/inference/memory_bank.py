"""The memory bank: keys and values of the frames that later frames are matched against, bounded in number."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import torch
from torch import Tensor

from spvos_cli.model.network import Memory


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
    """

    def __init__(self, max_frames: int) -> None:
        self.max_frames = max_frames
        self.annotated: list[MemoryFrame] = []
        self.recent: deque[MemoryFrame] = deque(maxlen=max_frames)
        self.last: MemoryFrame | None = None
        self._memory: Memory | None = None

    def add(self, key: Tensor, value: Tensor, *, annotated: bool, memory_frame: bool) -> None:
        """Remembers a frame: its key (1, pixels, Ck) and its objects' values (1, K, pixels, Cv).

        Args:
            annotated: whether masks were given in it.
            memory_frame: whether it stays beyond the next frame.
        """
        self.last = MemoryFrame(key, value)
        if annotated:
            self.annotated.append(self.last)
            if len(self.annotated) > 1 + max(1, self.max_frames):
                del self.annotated[1]
        elif memory_frame:
            self.recent.append(self.last)
        self._memory = None

    def read(self) -> Memory:
        """All frames side by side; made anew only when a frame was added.

        Raises:
            ValueError: no frame was added yet.
        """
        if self.last is None:
            raise ValueError("nothing is remembered yet")
        if self._memory is None:
            frames = [*self.annotated, *self.recent]
            if not any(frame is self.last for frame in frames):
                frames.append(self.last)
            key, value = (torch.cat(parts, dim=-2) for parts in zip(*frames, strict=True))
            self._memory = Memory(key, value, self.last)
        return self._memory

    def keep_objects(self, rows: list[int]) -> None:
        """Forgets the values of all objects but those in the given rows."""
        kept = {id(frame): MemoryFrame(frame.key, frame.value[:, rows]) for frame in self._frames()}
        self.annotated = [kept[id(frame)] for frame in self.annotated]
        self.recent = deque((kept[id(frame)] for frame in self.recent), maxlen=self.recent.maxlen)
        self.last = self.last and kept[id(self.last)]
        self._memory = None

    def tensors(self) -> dict[str, Tensor]:
        """Copies of all that it holds, by names that tell what is what."""
        kinds = [("annotated", self.annotated), ("recent", self.recent)]
        named = [(f"{kind}.{n}", frame) for kind, frames in kinds for n, frame in enumerate(frames)]
        if self.last and not any(frame is self.last for _, frame in named):
            named.append(("last", self.last))
        return {
            f"{name}{'.newest' if frame is self.last else ''}.{part}": tensor.clone()
            for name, frame in named
            for part, tensor in frame._asdict().items()
        }

    @classmethod
    def from_tensors(cls, max_frames: int, tensors: dict[str, Tensor]) -> MemoryBank:
        """The inverse of `tensors`, in whatever order a file has them."""
        bank = cls(max_frames)
        for name in sorted({name.rpartition(".")[0] for name in tensors}, key=_order):
            frame = MemoryFrame(tensors[f"{name}.key"], tensors[f"{name}.value"])
            if not name.startswith("last"):
                (bank.annotated if name.startswith("annotated") else bank.recent).append(frame)
            if name.endswith("newest"):
                bank.last = frame
        return bank

    def _frames(self) -> list[MemoryFrame]:
        return [*self.annotated, *self.recent, *([self.last] if self.last else [])]


def _order(name: str) -> tuple[str, int]:
    """Of names as `tensors` gives them, by kind and number: `recent.2` comes before `recent.10`."""
    kind, number, *_ = [*name.split("."), "0"]
    return kind, int(number) if number.isdigit() else 0
