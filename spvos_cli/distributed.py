"""One process or many: what torchrun starts, each with its share of every batch or of the sequences."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_reduce

T = TypeVar("T")
PATIENCE = timedelta(days=7)  # shares of sequences may end hours apart


class Processes(NamedTuple):
    """Attributes: rank of this process, and how many there are."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def share(self, batch_size: int) -> range:
        """The clips of a batch that are this process's; batch sizes are multiples of the world's."""
        each, rest = divmod(batch_size, self.world)
        if rest:
            raise ValueError(f"{batch_size} clips cannot be shared evenly by {self.world} processes")
        return range(self.rank * each, (self.rank + 1) * each)

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all processes; gradients come back through it."""
        if self.world == 1:
            return value
        total: Tensor = all_reduce(value)
        return total

    def any(self, here: bool, device: torch.device) -> bool:
        """Whether it is so in any process; `device` is where the processes' tensors are."""
        if self.world == 1:
            return here
        return self.sum(torch.tensor(float(here), device=device)).item() > 0

    def from_first(self, value: float) -> float:
        """The first process's value."""
        if self.world == 1:
            return value
        values: list[float | None] = [value if self.first else None]
        dist.broadcast_object_list(values, src=0)
        (found,) = values
        assert found is not None
        return found

    def mean(self, row: dict[str, float]) -> dict[str, float]:
        """Figures, averaged over all processes."""
        if self.world == 1:
            return row
        rows = self.gather(row)
        return {name: sum(other[name] for other in rows) / self.world for name in row}

    def gather(self, item: T) -> list[T]:
        """The items of all processes, in the order of their ranks."""
        if self.world == 1:
            return [item]
        items: list[T] = [item] * self.world
        dist.all_gather_object(items, item)
        return items

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world > 1:
            dist.barrier()


def world_size() -> int:
    """How many processes torchrun started; 1 where it started none."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def processes(device: torch.device) -> Iterator[Processes]:
    """Joins the group that torchrun made, where it did: gloo on a CPU, NCCL on GPUs."""
    if world_size() == 1:
        yield Processes()
        return
    backend, patience = ("nccl", None) if device.type == "cuda" else ("gloo", PATIENCE)
    dist.init_process_group(backend, timeout=patience)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def local_device(device: torch.device) -> torch.device:
    """The GPU of this process, where there are several."""
    if device.type == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device
