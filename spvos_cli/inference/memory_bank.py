"""The memory bank: keys and values of the frames that later frames are matched against, bounded in number."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from spvos_cli.model.network import LastFrame, Memory


class MemoryFrame(NamedTuple):
    """One frame, or what stands for several.

    Attributes:
        key: (1, pixels, Ck).
        value: (1, K, pixels, Cv), one an object.
        used: (2, pixels) float32: the sum of the affinities with which each pixel was read, and how often the
            memory was read since it came; None where a bank does not ask.
        time: which of the memory frames this is, counted from 1; None of others.
    """

    key: Tensor
    value: Tensor
    used: Tensor | None = None
    time: int | None = None


class MemoryBank:
    """The memory of objects that joined at the same frame: at most 2 * max(1, `max_frames`) + 2 frames.

    The annotated frame at which they joined always stays. Of the annotated frames after it the newest stay,
    at most `max_frames` and at least one; of the other memory frames at most `max_frames` of all ages, the
    older the fewer, so that what was not seen for a while is not forgotten. The previous frame, where the
    network reads it, is there as well and goes when the next one comes, unless it was a memory frame. Other
    banks make room in their own ways (`make_room`).

    Attributes:
        counts_use: whether `MemoryFrame.used` is wanted.
        annotated, recent: memory frames.
        newest: the previous frame among them.
        last: the previous frame alone, whole.
    """

    counts_use = False

    def __init__(self, max_frames: int) -> None:
        self.max_frames = max_frames
        self.annotated: list[MemoryFrame] = []
        self.recent: list[MemoryFrame] = []
        self.newest: MemoryFrame | None = None
        self.last: LastFrame | None = None
        self._memory: Memory | None = None
        self._reads = 0  # of what lies side by side

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
        self._note_use()
        if self.counts_use:
            frame = frame._replace(used=frame.key.new_zeros(2, frame.key.shape[1], dtype=torch.float32))
        if memory_frame and not annotated:
            frame = frame._replace(time=1 + max(self._times(), default=0))
        self.newest, self.last = frame, last or LastFrame(frame.key, frame.value)
        if annotated:
            self.annotated.append(frame)
            if len(self.annotated) > 1 + max(1, self.max_frames):
                del self.annotated[1]
        elif memory_frame:
            self.recent.append(frame)
            self.make_room()
        self._memory = None

    def make_room(self) -> None:
        """After a memory frame came: at most `max_frames` of `recent` stay."""
        if len(self.recent) > self.max_frames:
            del self.recent[most_crowded(self._times())]

    def _times(self) -> list[int]:
        """Of `recent`."""
        return [frame.time for frame in self.recent if frame.time is not None]

    def read(self) -> Memory:
        """All frames side by side, to be matched once; made anew only when a frame was added.

        Raises:
            ValueError: no frame was added yet.
        """
        if self.last is None:
            raise ValueError("nothing is remembered yet")
        if self._memory is None:
            frames = self.frames()
            key = torch.cat([frame.key for frame in frames], dim=1)
            usage = key.new_zeros(key.shape[1], dtype=torch.float32) if self.counts_use else None
            self._memory = Memory(key, torch.cat([frame.value for frame in frames], dim=2), self.last, usage)
        self._reads += 1
        return self._memory

    @torch.inference_mode()  # as what is counted was made
    def _note_use(self) -> None:
        """What of the memory was used since the last time becomes the frames'."""
        if self._memory is not None and self._memory.usage is not None:
            frames = self.frames()
            counts = self._memory.usage.split([frame.key.shape[1] for frame in frames])
            for frame, count in zip(frames, counts, strict=True):
                if frame.used is not None:
                    frame.used[0] += count
                    frame.used[1] += self._reads
            self._memory.usage.zero_()
        self._reads = 0

    def keep_objects(self, rows: list[int]) -> None:
        """Forgets the values of all objects but those in the given rows."""
        self._note_use()
        kept = {id(frame): frame._replace(value=frame.value[:, rows]) for frame in self.frames()}
        self.annotated = [kept[id(frame)] for frame in self.annotated]
        self.recent = [kept[id(frame)] for frame in self.recent]
        self.newest = self.newest and kept[id(self.newest)]
        self.last = self.last and self.last._replace(value=self.last.value[:, rows])
        self._memory = None

    def tensors(self) -> dict[str, Tensor]:
        """Copies of all that it holds, by names that tell what is what."""
        self._note_use()
        named: dict[str, Tensor] = {}
        for number, frame in enumerate([*self.annotated, *self.recent, *self._passing()]):
            kind = "annotated" if number < len(self.annotated) else "recent"
            kind = kind if self._stays(frame) else "passing"
            newest = ".newest" if frame is self.newest else ""
            named |= copied(f"{kind}.{number}{newest}.", frame)
        return named | (copied("last.", self.last) if self.last else {})

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `tensors`, in a bank that holds nothing, in whatever order a file has them."""
        for name in sorted({name.rpartition(".")[0] for name in tensors}, key=_order):
            parts = {part: tensors.get(f"{name}.{part}") for part in (*MemoryFrame._fields, "positions")}
            self.restore_frame(name, parts)

    def restore_frame(self, name: str, parts: dict[str, Tensor | None]) -> None:
        """What has one of the names in `tensors`; None stands for a part that it lacks."""
        key, value = parts["key"], parts["value"]
        assert key is not None
        assert value is not None
        if name == "last":
            self.last = LastFrame(key, value, parts["positions"])
            return
        time = parts["time"]
        frame = MemoryFrame(key, value, parts["used"], None if time is None else int(time))
        if not name.startswith("passing"):
            (self.annotated if name.startswith("annotated") else self.recent).append(frame)
        if name.endswith("newest"):
            self.newest = frame

    def _stays(self, frame: MemoryFrame | None) -> bool:
        return any(frame is each for each in [*self.annotated, *self.recent])

    def _passing(self) -> list[MemoryFrame]:
        return [self.newest] if self.newest and not self._stays(self.newest) else []

    def frames(self) -> list[MemoryFrame]:
        """All that is matched, in the order in which it lies side by side."""
        return [*self.annotated, *self.recent, *self._passing()]


def most_crowded(times: list[int]) -> int:
    """The place of the frame, but not of the newest, whose neighbours in time are closest together for how
    old it is."""
    now = times[-1] + 1
    around = zip([0, *times], times, times[1:], strict=False)
    spaces = [(after - before) / (now - time) for before, time, after in around]
    return spaces.index(min(spaces)) if spaces else 0


def copied(prefix: str, frame: MemoryFrame | LastFrame) -> dict[str, Tensor]:
    """Copies of what it has, as tensors by name."""
    return {
        f"{prefix}{part}": torch.tensor(x) if isinstance(x, int) else x.clone()
        for part, x in frame._asdict().items()
        if x is not None
    }


def _order(name: str) -> tuple[str, int]:
    """Of names as `tensors` gives them, by kind and number: `recent.2` comes before `recent.10`."""
    kind, number, *_ = [*name.split("."), "0"]
    return kind, int(number) if number.isdigit() else 0
