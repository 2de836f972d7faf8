"""What gates decided on real frames: density, shares of the policies, and how much they vary over the
pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from itertools import accumulate

import torch
from torch import Tensor

from spvos_cli.policy_names import shares_by_name
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.policy import COMPUTE, REUSE, SKIP
from spvos_cli.sparse.run import ModuleRunner


@dataclasses.dataclass
class LayerTally:
    """One layer over many sparse steps.

    Attributes:
        cost: multiply-accumulates of one pixel.
        pixels: (3,) how many were SKIP, REUSE, COMPUTE.
        steps: rows (objects times frames) seen.
        varying: rows in which not all pixels had the same policy.
    """

    cost: int
    pixels: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(3, dtype=torch.int64))
    steps: int = 0
    varying: int = 0


class PolicyTally:
    """Counts the policies of a stream's layers, frame after frame.

    Args:
        names: of the gated convolutions.
    """

    def __init__(self, names: Mapping[SparseConv2d, str]) -> None:
        self.names = names
        self.layers: dict[str, LayerTally] = {}

    def add(self, runs: Iterable[ModuleRunner]) -> None:
        """Counts what ran sparsely in the last step: all layers at once, so that a GPU is waited for once."""
        policies = policies_of(runs)
        self.add_counts(policies, counts_by_row(policies.values()).cpu())

    def add_counts(self, policies: Mapping[SparseConv2d, Tensor], counts: Tensor) -> None:
        """As `add`.

        Args:
            policies: as of `policies_of`.
            counts: as of `counts_by_row`, in the CPU's memory.
        """
        by_layer = counts.long().split([len(policy) for policy in policies.values()])
        for conv, rows in zip(policies, by_layer, strict=True):
            layer = self.layers.setdefault(self.names[conv], LayerTally(conv.weight.numel()))
            layer.pixels += rows.sum(dim=0)
            layer.steps += len(rows)
            layer.varying += int(((rows > 0).sum(dim=1) > 1).sum())

    def density(self, prefix: str = "") -> float | None:
        """Share of multiply-accumulates done in gated layers on sparse frames; None where nothing ran
        sparsely.

        Args:
            prefix: only layers whose name starts so, as "decoder".
        """
        computed, total = self.macs(prefix)
        return computed / total if total else None

    def macs(self, prefix: str = "") -> tuple[int, int]:
        """Multiply-accumulates of gated layers on sparse frames: done, and in all; `prefix` as above."""
        chosen = [layer for name, layer in self.layers.items() if name.startswith(prefix)]
        computed = sum(layer.cost * int(layer.pixels[COMPUTE]) for layer in chosen)
        return computed, sum(layer.cost * int(layer.pixels.sum()) for layer in chosen)

    def shares(self) -> dict[str, float]:
        """Share of all pixels that were skipped, reused and computed; empty where nothing ran sparsely."""
        if not self.layers:
            return {}
        pixels = torch.stack([layer.pixels for layer in self.layers.values()]).sum(dim=0)
        return shares_by_name(pixels)


def policies_of(runs: Iterable[ModuleRunner]) -> dict[SparseConv2d, Tensor]:
    """What ran sparsely in the last step, with its policies (B, H, W)."""
    return {conv: policy for run in runs for conv, policy in run.policies.items()}


def counts_by_row(policies: Collection[Tensor]) -> Tensor:
    """How many pixels of each row were SKIP, REUSE and COMPUTE: L tensors (B, H, W) -> (sum of all B, 3)
    int32.

    A GPU is not waited for (bincount would), and a dozen kernels do it for all layers.
    """
    if not policies:
        return torch.zeros(0, 3, dtype=torch.int32)
    flat = torch.cat([policy.flatten() for policy in policies])
    up_to = torch.stack([flat == choice for choice in (SKIP, REUSE, COMPUTE)]).cumsum(
        dim=1, dtype=torch.int32
    )
    ends = accumulate(policy[0].numel() for policy in policies for _ in policy)
    at_ends = torch.stack([up_to[:, end - 1] for end in ends])
    return at_ends.diff(dim=0, prepend=torch.zeros_like(at_ends[:1]))
