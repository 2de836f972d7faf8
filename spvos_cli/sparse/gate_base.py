"""What every gate is: a small convolution that decides about each output pixel of another, and the steps that
it takes in training and at test time."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from spvos_cli.sparse.conv_unit import ConvUnit
from spvos_cli.sparse.kernels.kernel import Kernel
from spvos_cli.sparse.layer_state import LayerState

Override = Callable[[Tensor], Tensor]  # (B, H, W) policies that a gate chose -> those that hold
Noise = Callable[[Tensor], Tensor]  # standard Gumbel noise in the shape of a tensor


def as_chosen(policy: Tensor) -> Tensor:
    """The `Override` that lets gates decide."""
    return policy


class Given(NamedTuple):
    """An `Override` that does not look at what the gate chose.

    Attributes:
        policy: (B, H, W) uint8.
    """

    policy: Tensor

    def __call__(self, policy: Tensor) -> Tensor:
        return self.policy


class Previous(NamedTuple):
    """What a layer took in and put out, before normalisation, at t-1."""

    input: Tensor
    output: Tensor


class GatedOutput(NamedTuple):
    """A sparse step in training.

    Attributes:
        output: (B, Cout, H, W), before normalisation.
        computed: (B, 1, H, W), 1 where COMPUTE was chosen and 0 elsewhere, with a gradient.
    """

    output: Tensor
    computed: Tensor


class PolicyChoices(NamedTuple):
    """What a gate can choose from in a sparse step.

    Attributes:
        outputs: what comes of each of P policies, before normalisation; (B, Cout, H, W), COMPUTE's last.
        logits: (B, P, H, W).
        chosen: (B, H, W), numbers of the policies that it chose.
    """

    outputs: tuple[Tensor, ...]
    logits: Tensor
    chosen: Tensor


class Gate(nn.Conv2d):
    """Decides about every output pixel of a convolution."""

    method: str
    needs_previous: bool  # without a t-1 the convolution runs densely
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    bias: nn.Parameter
    frames_seen = 1  # inputs of the convolution that it looks at: this frame's, or also the previous one's
    logit_count = 1

    def __init__(self, conv: ConvUnit) -> None:
        inputs = self.frames_seen * conv.in_channels
        super().__init__(inputs, self.logit_count, conv.kernel_size, conv.stride, conv.padding)

    def mix(
        self, conv: ConvUnit, x: Tensor, previous: Previous | None, tau: float, noise: Noise
    ) -> GatedOutput:
        """One sparse step in training, where all pixels are computed and the policies mix what becomes of
        them."""
        raise NotImplementedError

    def choices(self, conv: ConvUnit, x: Tensor, previous: Previous | None) -> PolicyChoices:
        """A sparse step in training that is left to choose; gradients of the logits end at the gate."""
        raise NotImplementedError

    def dense_step(self, conv: ConvUnit, x: Tensor, shared: Tensor | None) -> tuple[Tensor, LayerState]:
        """A dense step at test time: the unit's output, and what the next step needs."""
        raise NotImplementedError

    def sparse_step(
        self,
        conv: ConvUnit,
        x: Tensor,
        shared: Tensor | None,
        state: LayerState,
        kernel: Kernel,
        override: Override,
    ) -> Tensor:
        """A sparse step at test time: the unit's output, which may be a buffer that the next step changes.

        Args:
            override: has the last word about the policies that the gate chose.
        """
        raise NotImplementedError
