"""The loss that asks for sparsity (Section III-D, Eq. 10 to 13), and the residual baseline's, which is the
cost itself."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from spvos_cli.distributed import Processes
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.training.base_options import ClipOptions
from spvos_cli.training.clips.gumbel import SparseStep
from spvos_cli.training.density import annealed_target, pixel_cost


class LayerDensity(NamedTuple):
    """Sums over the batch: pixels computed, pixels there were, and multiply-accumulates of one pixel."""

    computed: Tensor
    pixels: Tensor
    cost: int


def layer_densities(records: list[SparseStep], real: Tensor) -> dict[SparseConv2d, LayerDensity]:
    """What each layer decided, over all its sparse steps.

    Args:
        records: of a run.
        real: (B, K) bool; rows of slots without an object do not count.
    """
    densities: dict[SparseConv2d, LayerDensity] = {}
    for conv, computed in records:
        rows = real.flatten() if len(computed) == real.numel() else real.any(dim=1)
        rows = rows.float()
        taken = computed.sum(dim=(1, 2, 3)) @ rows
        pixels = rows.sum() * computed[0].numel()
        before = densities.get(conv, LayerDensity(torch.zeros(()), torch.zeros(()), pixel_cost(conv)))
        densities[conv] = before._replace(computed=before.computed + taken, pixels=before.pixels + pixels)
    return densities


def density_bounds(progress: float, target: float, relaxing: float) -> tuple[float, float]:
    """Between which a layer's density may lie: at first the target alone, after `relaxing` of the run
    anything (Verelst and Tuytelaars, Dynamic Convolutions, CVPR 2020); 0: from the start."""
    passed = min(1.0, progress / relaxing) if relaxing else 1.0
    a = math.cos(math.pi / 2 * passed) ** 2
    return a * target, 1 - a * (1 - target)


def sparsity_loss(
    densities: Iterable[LayerDensity], progress: float, target: float, beta: float, relaxing: float
) -> Tensor:
    """The layers' loss (Eq. 11) plus beta times the network's (Eq. 12), for the static and the triple
    method."""
    densities = list(densities)
    lower, upper = density_bounds(progress, target, relaxing)
    shares = torch.stack([density.computed / density.pixels.clamp(min=1) for density in densities])
    layers = ((shares - upper).clamp(min=0).square() + (lower - shares).clamp(min=0).square()).sum()
    return layers + beta * (network_density(densities) - target).square()


def network_density(densities: Iterable[LayerDensity]) -> Tensor:
    """The share of multiply-accumulates that were done; by itself the residual method's loss."""
    done, all_there = zip(*((d.cost * d.computed, d.cost * d.pixels) for d in densities), strict=True)
    return torch.stack(done).sum() / torch.stack(all_there).sum().clamp(min=1)  # a batch may have no object


def gate_loss(
    records: list[SparseStep],
    real: Tensor,
    progress: float,
    options: ClipOptions,
    method: str,
    processes: Processes,
) -> tuple[Tensor, Tensor]:
    """The loss of the gates (where they shall cost as little as can be, the density itself), and the density;
    over all processes.

    Args:
        records, real: as in `layer_densities`.
        progress: of the run, in [0, 1].
        method: of the gates.
    """
    densities = [
        density._replace(computed=processes.sum(density.computed), pixels=processes.sum(density.pixels))
        for density in layer_densities(records, real).values()
    ]
    if not densities:  # gates that the strategy never runs
        return torch.zeros((), device=real.device), torch.ones((), device=real.device)
    density = network_density(densities)
    if options.objective == "cost" or (options.objective == "method" and method == "residual"):
        return density, density
    target = annealed_target(options.target, progress, options.anneal)
    return sparsity_loss(densities, progress, target, options.beta, options.relaxing), density
