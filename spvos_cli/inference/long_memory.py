"""A memory that does not forget what it was often asked for: XMem's long-term memory (Section 3.3 of its
paper), for every network."""

from __future__ import annotations

import torch
from torch import Tensor

from spvos_cli.inference.memory_bank import MemoryBank, MemoryFrame, copied
from spvos_cli.model.network import VOSNetwork


class LongMemoryBank(MemoryBank):
    """A bank whose memory frames leave a few of their pixels behind: when there are `max_frames` of them, the
    newer half stays, and of the pixels of the others those that were read most become prototypes.

    Args:
        network: whose keys and values they are.
        max_frames: as in `MemoryBank`.
        max_pixels: prototypes that are kept at most; those go first that are read least.
        prototypes: that come at a time.

    Attributes:
        long: the prototypes, as one frame.
    """

    counts_use = True

    def __init__(self, network: VOSNetwork, max_frames: int, max_pixels: int, prototypes: int) -> None:
        super().__init__(max_frames)
        self.network, self.max_pixels, self.count = network, max_pixels, prototypes
        self.long: MemoryFrame | None = None

    def make_room(self) -> None:
        """As in `MemoryBank`."""
        if len(self.recent) < max(2, self.max_frames):
            return
        leaving = len(self.recent) - max(1, self.max_frames // 2)  # of the newest nothing was read yet
        self._consolidate(joined(self.recent[:leaving]))
        del self.recent[:leaving]

    def _consolidate(self, frame: MemoryFrame) -> None:
        """The pixels of a frame that were read most become prototypes."""
        chosen = most_used(frame, min(self.count, self.max_pixels))
        key, value = self.network.prototypes(frame.key, frame.value, chosen)
        new = MemoryFrame(key, value, key.new_zeros(2, key.shape[1], dtype=torch.float32))
        room = self.max_pixels - key.shape[1]
        if self.long is not None and room > 0:
            kept = most_used(self.long, room)
            key, value, used, _ = self.long
            assert used is not None
            new = joined([MemoryFrame(key[:, kept], value[:, :, kept], used[:, kept]), new])
        self.long = new

    def keep_objects(self, rows: list[int]) -> None:
        """As in `MemoryBank`."""
        super().keep_objects(rows)
        self.long = self.long and self.long._replace(value=self.long.value[:, rows])

    def tensors(self) -> dict[str, Tensor]:
        """As in `MemoryBank`."""
        return super().tensors() | (copied("long.", self.long) if self.long else {})

    def restore_frame(self, name: str, parts: dict[str, Tensor | None]) -> None:
        """As in `MemoryBank`."""
        if name != "long":
            super().restore_frame(name, parts)
            return
        key, value = parts["key"], parts["value"]
        assert key is not None
        assert value is not None
        self.long = MemoryFrame(key, value, parts["used"])

    def frames(self) -> list[MemoryFrame]:
        """As in `MemoryBank`; the prototypes last."""
        return [*super().frames(), *([self.long] if self.long else [])]


def most_used(frame: MemoryFrame, count: int) -> Tensor:
    """The pixels that were read most for as often as they could be, at most so many: (P,), in their order."""
    assert frame.used is not None
    affinities, reads = frame.used
    share = affinities / reads.clamp(min=1)
    return share.topk(min(count, len(share)), sorted=False).indices.sort().values


def joined(frames: list[MemoryFrame]) -> MemoryFrame:
    """Side by side."""
    used = [frame.used for frame in frames if frame.used is not None]
    value = torch.cat([frame.value for frame in frames], dim=2)
    return MemoryFrame(torch.cat([frame.key for frame in frames], dim=1), value, torch.cat(used, dim=1))


def bank_for(network: VOSNetwork, max_frames: int, long_memory: int) -> MemoryBank:
    """With a long memory of so many pixels, or without any."""
    if long_memory:
        return LongMemoryBank(network, max_frames, long_memory, network.config.prototypes)
    return MemoryBank(max_frames)
