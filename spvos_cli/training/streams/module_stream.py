"""A stream as at test time in which the gate of a whole module learns: a dense run of each frame says what
SKIP and REUSE of each cell would have done to its labels, and did to those of its neighbours."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from spvos_cli.inference.module_run import EncodedFrame, ModuleRun
from spvos_cli.inference.stream import Stream
from spvos_cli.model.matching import as_map
from spvos_cli.model.network import VOSNetwork
from spvos_cli.sparse.module_gate import CELL, GateView
from spvos_cli.sparse.module_state import CERTAIN
from spvos_cli.sparse.policy import COMPUTE, argmax_policy
from spvos_cli.training.losses import bernoulli_divergence, mean_of_hardest
from spvos_cli.training.streams.learning_stream import HARDEST, StreamInTraining, area_weight, read_exactly
from spvos_cli.training.streams.policy_costs import PolicyCosts

SMALLEST = CELL**2  # pixels that an object counts as having at least


class LearningModuleRun(ModuleRun):
    """As at test time, but that all cells are computed as well, to see what decisions do.

    Attributes:
        steps: the sparse steps so far.
        distances: of each of them from the dense run, at the pixels that are furthest off.
    """

    def __init__(self, network: VOSNetwork) -> None:
        super().__init__(network, by_definition=True)
        self.steps: list[PolicyCosts] = []
        self.distances: list[Tensor] = []
        self._logits = self._kept = torch.empty(0)

    def decode(self, frame: EncodedFrame) -> tuple[Tensor, Tensor | None]:
        """As in `ModuleRun`."""
        readout = frame.match(None)
        logits, hidden = super().decode(frame._replace(match=lambda cells: readout))
        if self.policy is None:
            return logits, hidden
        maps = as_map(readout, *frame.place.grid).unsqueeze(0)
        dense = self.network.decode_step(maps, frame.query, frame.hidden)[0][0].float()
        errors = label_errors(dense, self._kept)
        errors[:, :COMPUTE] += errors_beside(dense, logits, self.policy == COMPUTE).unsqueeze(1)
        with torch.inference_mode(False):
            computed = self.policy.clone() == COMPUTE
            self.steps.append(PolicyCosts(1, self._logits, errors.clone(), computed))
        prob = dense.sigmoid().unsqueeze(0)
        distance = area_weight(prob) * bernoulli_divergence(logits.unsqueeze(0), prob)
        self.distances.append(mean_of_hardest(distance, HARDEST))
        return logits, hidden

    def choose(self, view: GateView) -> Tensor:
        """As in `ModuleRun`; remembers what the gate said, with a gradient, and what REUSE would keep."""
        assert self.network.gate is not None
        assert self.state is not None
        self._kept = self.state.logits.clone()
        with torch.inference_mode(False), torch.enable_grad():
            self._logits = self.network.gate(GateView(*(x.clone() for x in view)))
        return argmax_policy(self._logits.detach())


@torch.no_grad()
def label_errors(dense: Tensor, kept: Tensor) -> Tensor:
    """What SKIP, REUSE and COMPUTE would do to an object's labels in each cell, in shares of its area, which
    is what they cost in J; half of it counts labels that change, half how far probabilities move.

    Args:
        dense: (K, H, W), logits of a dense run.
        kept: (K, H, W), logits that REUSE would keep.

    Returns:
        (K, 3, H / 16, W / 16)
    """
    skipped = _cell_errors(dense, torch.full_like(dense, CERTAIN))
    reused = _cell_errors(dense, kept)
    return torch.stack([skipped, reused, torch.zeros_like(reused)], dim=1)


@torch.no_grad()
def errors_beside(dense: Tensor, found: Tensor, computed: Tensor) -> Tensor:
    """How far computed cells are off because of cells beside them that were not computed, whose outputs they
    read; each of those is charged an equal share of it.

    Args:
        dense: (K, H, W), logits of a dense run.
        found: (K, H, W), logits under the policy.
        computed: (K, H / 16, W / 16) bool.

    Returns:
        (K, H / 16, W / 16), 0 where cells were computed; in the unit of `label_errors`.
    """
    left = (~computed).float()
    beside = F.avg_pool2d(left, 3, 1, 1) * 9
    errors = _cell_errors(dense, found) * computed / beside.clamp(min=1)
    return F.avg_pool2d(errors, 3, 1, 1) * 9 * left


def _cell_errors(dense: Tensor, other: Tensor) -> Tensor:
    """Of other logits, by cell and in shares of the objects' areas."""
    prob, its = dense.sigmoid(), other.sigmoid()
    found = prob > 0.5
    area = found.sum(dim=(1, 2)).clamp(min=SMALLEST)[:, None, None]
    errors = ((found != (its > 0.5)).float() + (prob - its).square()) / 2
    return F.avg_pool2d(errors, CELL) * CELL**2 / area


class ModuleLearningStream(StreamInTraining):
    """One video, followed from segment to segment; as `LearningStream`.

    Args:
        network: with a module's gate.
        dtype: of its arithmetic; matching, errors and distances are float32.
    """

    def __init__(self, network: VOSNetwork, dtype: torch.dtype = torch.float32) -> None:
        config = network.config
        self.dtype, self.run = dtype, LearningModuleRun(network)
        self.generator = torch.Generator()
        self.stream = Stream(
            network,
            config.mem_every,
            config.top_k,
            config.max_memory,
            read_top_k=read_exactly,
            module_run=self.run,
        )

    @property
    def steps(self) -> list[PolicyCosts]:
        """Sparse steps since the segment began."""
        return self.run.steps

    @property
    def distances(self) -> list[Tensor]:
        """From the dense run, for each of them."""
        return self.run.distances

    def end_segment(self) -> None:
        """What was recorded goes, and gradients reach no further back."""
        self.run.steps, self.run.distances = [], []
