"""The loss of gates whose choices have a known error: what they do to the mask, and what they compute, at a
price that keeps the density at its target."""

from __future__ import annotations

from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spvos_cli.distributed import Processes
from spvos_cli.training.streams.policy_costs import PolicyCosts

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

    log_price: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("log_price", torch.tensor(float("nan")))

    def forward(self, steps: list[PolicyCosts], target: float, processes: Processes) -> tuple[Tensor, Tensor]:
        """The loss, whose unit is the cost of computing everything, and the density, over all processes.

        Args:
            steps: the layers' sparse steps.
            target: the density that the price is steered to.
        """
        done_here, total_here = count_macs(steps)
        done, total = processes.sum(done_here), processes.sum(total_here)
        first = (processes.sum(saved_error(steps)) / total + LEAST).log()
        self.log_price = torch.where(self.log_price.isnan(), first, self.log_price)
        density = done / total
        loss = torch.stack([pairwise_surrogate(step, self.log_price.exp()) for step in steps]).sum()
        self.log_price = self.log_price + RATE * (density.clamp(min=target / FARTHEST) / target).log()
        return loss / total_here, density


def count_macs(steps: list[PolicyCosts]) -> tuple[Tensor, Tensor]:
    """Multiply-accumulates: done, and there were to do."""
    done = torch.stack([step.cost * step.computed.float().sum() for step in steps]).sum()
    return done, done.new_tensor(sum(step.cost * step.computed.numel() for step in steps))


def saved_error(steps: list[PolicyCosts]) -> Tensor:
    """The error that computing every pixel would save, summed."""
    saved = [(s.errors[:, :-1].amin(dim=1) - s.errors[:, -1]).clamp(min=0).sum() for s in steps]
    return torch.stack(saved).sum()


def pairwise_surrogate(step: PolicyCosts, price: Tensor) -> Tensor:
    """A loss of a layer's decisions, in multiply-accumulates, that is convex in the gate's logits z. With the
    costs c of the policies, each its error at the price and for COMPUTE the pixel's multiply-accumulates:

        sum over pixels and pairs of policies a < b of |c_a - c_b| softplus(-sign(c_b - c_a) (z_a - z_b))

    That is RankNet's logistic loss of pairs (Burges et al., Learning to Rank using Gradient Descent, ICML
    2005), each pair weighted by what a wrong choice costs, as in cost-sensitive classification by pairs
    (Beygelzimer, Langford and Zadrozny, Weighted One-Against-All, AAAI 2005). Where the errors are noisy its
    minimum prefers the policy that is cheaper on average.
    """
    pixel = step.cost
    cost = step.errors / price
    cost[:, -1] += pixel
    cost = (cost - cost.amin(dim=1, keepdim=True)).clamp(max=LIMIT * pixel)
    loss = cost.new_zeros(())
    for a, b in combinations(range(cost.shape[1]), 2):
        gap = cost[:, b] - cost[:, a]
        preference = (step.logits[:, a] - step.logits[:, b]) * gap.sign()
        loss = loss + (gap.abs() * F.softplus(-preference)).sum()
    return loss
