"""What each policy of each pixel does to the mask: a dense run, and a sparse one whose choices are measured
against it.

A gate can decide rightly if it is told what its decision costs. To second order the distance between two
masks (Kullback and Leibler's) grows with the square of the change in a layer's output times the mask's
gradient there, and one backward pass gives that for all pixels of all layers, along a random direction of the
mask. So each policy of each pixel has an error, which teaches the gate alone: no gradient goes through a hard
decision.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.conv_unit import ConvUnit, join_channels
from spvos_cli.sparse.gate_base import PolicyChoices, Previous
from spvos_cli.training.density import pixel_cost


class DenseRun:
    """A dense run of a module.

    Attributes:
        outputs: of its gated convolutions, in their order.
    """

    def __init__(self) -> None:
        self.outputs: list[Tensor] = []

    def convolve(self, conv: SparseConv2d, x: Tensor, shared: Tensor | None) -> Tensor:
        """One layer."""
        self.outputs.append(conv.dense(x, shared))
        return self.outputs[-1]


class DecoderTarget(NamedTuple):
    """What a layer of the decoder should put out, and how the mask depends on it.

    Attributes:
        output: (B, Cout, H, W), of the unit, run densely.
        gradients: (S, B, Cout, H, W), of S random directions of the mask.
    """

    output: Tensor
    gradients: Tensor


class PolicyCosts(NamedTuple):
    """One sparse step of one layer.

    Attributes:
        cost: of a pixel, in multiply-accumulates; 1 where all of them cost the same.
        logits: (B, P, H, W), the gate's, COMPUTE's last; with a gradient.
        errors: (B, P, H, W), what each policy would do to the mask.
        computed: (B, H, W) bool, the hard decision.
    """

    cost: int
    logits: Tensor
    errors: Tensor
    computed: Tensor


class PolicyCostRun:
    """The gated convolutions of one module over the frames of a stream, as at test time: gates choose hard.
    Convolutions get gradients where they were computed.

    Attributes:
        sparse: whether gates decide about the frame that comes next; otherwise everything is computed.
        targets: of the next frame, for each gated convolution in their order.
        steps: all sparse steps so far.
        policies: empty; the steps tell what was decided.
    """

    def __init__(self) -> None:
        self.sparse = False
        self.policies: dict[SparseConv2d, Tensor] = {}
        self.targets: list[DecoderTarget] = []
        self.steps: list[PolicyCosts] = []
        self._previous: dict[SparseConv2d, Previous] = {}

    def begin(self, ids: Sequence[int] = (0,), *, sparse: bool) -> None:
        """Before the module runs on the next frame, with the same objects as before."""
        self.sparse = sparse

    def remove(self, ids: Collection[int]) -> None:
        """The next frame has other rows: it starts with nothing."""
        self._previous = {}

    def forget(self) -> None:
        """Drops the steps, and what leads from the next frames' gradients to the frames so far."""
        self.steps = []
        self._previous = {c: Previous(*(x.detach() for x in p)) for c, p in self._previous.items()}

    def convolve(self, conv: SparseConv2d, x: Tensor, shared: Tensor | None) -> Tensor:
        """One layer."""
        assert conv.gate is not None
        x, previous = join_channels(x, shared), self._previous.get(conv)
        if not self.sparse or (conv.gate.needs_previous and previous is None):
            output = conv.convolve(x)
        else:
            output = self._choose(conv, conv.gate.choices(conv, x, previous), self.targets.pop(0))
        self._previous[conv] = Previous(x, output)
        return conv.finish(output.clone())  # which may overwrite it

    def _choose(self, conv: SparseConv2d, choices: PolicyChoices, target: DecoderTarget) -> Tensor:
        errors = torch.stack([mask_error(conv, output, target) for output in choices.outputs], dim=1)
        computed = choices.chosen == len(choices.outputs) - 1
        self.steps.append(PolicyCosts(pixel_cost(conv), choices.logits, errors, computed))
        output = choices.outputs[0]
        for policy, other in enumerate(choices.outputs[1:], 1):
            output = torch.where((choices.chosen == policy)[:, None], other, output)
        return output


@torch.no_grad()
def mask_error(conv: ConvUnit, output: Tensor, target: DecoderTarget) -> Tensor:
    """What an output (B, Cout, H, W), before normalisation, would do to the mask: (B, H, W)."""
    off = conv.finish(output.clone()).float() - target.output.float()
    return (target.gradients.float() * off).sum(dim=2).square().mean(dim=0)
