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
    """The memory of objects that joined at the same frame.

    Annotated frames always stay; of the other memory frames the newest do, at most `max_frames`. The previous
    frame, where the network reads it, is there as well and goes when the next one comes, unless it was a
    memory frame.
    """

    def __init__(self, max_frames: int) -> None:
        self.annotated: list[MemoryFrame] = []
        self.recent: deque[MemoryFrame] = deque(maxlen=max_frames)
        self.last: MemoryFrame | None = None
        self._memory: Memory | None = None

    def add(self, key: Tensor, value: Tensor, *, annotated: bool, memory_frame: bool) -> None:
        """Remembers a frame: for good if it is annotated, for long if it is a memory frame, else until the
        next."""
        self.last = MemoryFrame(key, value)
        if annotated:
            self.annotated.append(self.last)
        elif memory_frame:
            self.recent.append(self.last)
        self._memory = None

    def read(self) -> Memory:
        """All frames side by side; made anew only when a frame was added."""
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
        """The inverse of `tensors`."""
        bank = cls(max_frames)
        for name in dict.fromkeys(name.rpartition(".")[0] for name in tensors):
            frame = MemoryFrame(tensors[f"{name}.key"], tensors[f"{name}.value"])
            if not name.startswith("last"):
                (bank.annotated if name.startswith("annotated") else bank.recent).append(frame)
            if name.endswith("newest"):
                bank.last = frame
        return bank

    def _frames(self) -> list[MemoryFrame]:
        return [*self.annotated, *self.recent, *([self.last] if self.last else [])]
