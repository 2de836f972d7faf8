"""The loss of gates whose choices were weighed: what they do to the mask, and what they compute, at a price
that keeps the density at its target."""

from __future__ import annotations

from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spvos_cli.distributed import Processes
from spvos_cli.training.clips.sparsity import pixel_cost
from spvos_cli.training.streams.weighing import Weighed

RATE = 0.1  # of the price's logarithm, where the density is e times its target
FARTHEST = 4.0  # times too low the density counts as at most
LEAST = 1e-12  # added to the first price, which would be 0 where nothing moves and nothing is seen
LIMIT = 30.0  # times what computing a pixel costs: no error counts for more, as they have long tails


class Price(nn.Module):
    """The error that a multiply-accumulate has to save; it rises while more is computed than the target.

    Attributes:
        log_price: its logarithm, NaN before the first batch, which sets it to the mean error that computing
            would save.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("log_price", torch.tensor(float("nan")))

    def forward(self, records: list[Weighed], target: float, processes: Processes) -> tuple[Tensor, Tensor]:
        """The loss, whose unit is the cost of computing everything, and the density, over all processes.

        Args:
            records: of a run.
            target: the density that the price is steered to.
        """
        here = costs(records)
        done, total = (processes.sum(part) for part in here)
        if self.log_price.isnan():
            self.log_price = (processes.sum(saved(records)) / total + LEAST).log()
        density = done / total
        loss = sum(regret(record, self.log_price.exp()) for record in records)
        self.log_price = self.log_price + RATE * (density.clamp(min=target / FARTHEST) / target).log()
        return loss / here[1], density


def costs(records: list[Weighed]) -> tuple[Tensor, Tensor]:
    """Multiply-accumulates: done, and there were to do."""
    done = sum(pixel_cost(record.conv) * record.computed.float().sum() for record in records)
    return done, done.new_tensor(sum(pixel_cost(r.conv) * r.computed.numel() for r in records))


def saved(records: list[Weighed]) -> Tensor:
    """The error that computing every pixel would save, summed."""
    return sum((r.errors[:, :-1].amin(dim=1) - r.errors[:, -1]).clamp(min=0).sum() for r in records)


def regret(record: Weighed, price: Tensor) -> Tensor:
    """In multiply-accumulates, of a layer's decisions: the logistic loss of each pair of policies, weighed by
    what parts them.

    Its minimum prefers what is cheaper on average over the noise of the errors, and unlike the expected cost
    itself it is convex: a pixel that is decided wrongly never stops to pull.
    """
    pixel = pixel_cost(record.conv)
    cost = record.errors / price
    cost[:, -1] += pixel
    cost = (cost - cost.amin(dim=1, keepdim=True)).clamp(max=LIMIT * pixel)
    loss = cost.new_zeros(())
    for a, b in combinations(range(cost.shape[1]), 2):
        gap = cost[:, b] - cost[:, a]
        preference = (record.logits[:, a] - record.logits[:, b]) * gap.sign()
        loss = loss + (gap.abs() * F.softplus(-preference)).sum()
    return loss
