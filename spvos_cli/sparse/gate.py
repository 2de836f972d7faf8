"""One gate class a method: its shape, its start, how it mixes the policies in training, and its step at test
time.

Section III-C and Section IV-B3 of the paper. A gate has the kernel size, stride and padding of its
convolution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spvos_cli.model.cpu.products import fast_conv2d
from spvos_cli.sparse.conv_unit import ConvUnit, join_channels, split_conv2d
from spvos_cli.sparse.kernels.kernel import Kernel
from spvos_cli.sparse.layer_state import (
    LayerState,
    all_computed,
    channels_last,
    computed_where_new,
    without_repeated_skips,
)
from spvos_cli.sparse.policy import COMPUTE, REUSE, argmax_policy

RESIDUAL_TEMPERATURE = 2 / 3  # Habibian et al., Skip-Convolutions (CVPR 2021)
RESIDUAL_START = 0.6
TRIPLE_START = (0.0, 0.0, 5.0)  # bias of SKIP, REUSE, COMPUTE: everything is computed, with noise nearly so

Override = Callable[[Tensor], Tensor]  # (B, H, W) policies that a gate chose -> those that hold
Noise = Callable[[Tensor], Tensor]  # standard Gumbel noise in the shape of a tensor


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

    def _against_zero(self, seen: Tensor, closed: Tensor, opened: Tensor) -> PolicyChoices:
        """Between two policies, of which the second is chosen from a logit of 0 on."""
        logit = self(seen).float()
        logits = torch.cat([torch.zeros_like(logit), logit], dim=1)
        return PolicyChoices((closed, opened), logits, (logit[:, 0] >= 0).long())


class StaticGate(Gate):
    """COMPUTE or SKIP, from the current input alone (dynamic convolutions)."""

    method, needs_previous = "static", False

    def mix(
        self, conv: ConvUnit, x: Tensor, previous: Previous | None, tau: float, noise: Noise
    ) -> GatedOutput:
        logit = self(x).float()
        soft = ((logit + noise(logit) - noise(logit)) / tau).sigmoid()
        computed = straight_through((soft >= 0.5).float(), soft)
        return GatedOutput(computed * conv.convolve(x), computed)

    def choices(self, conv: ConvUnit, x: Tensor, previous: Previous | None) -> PolicyChoices:
        output = conv.convolve(x)
        return self._against_zero(x.detach(), torch.zeros_like(output), output)

    def dense_step(self, conv: ConvUnit, x: Tensor, shared: Tensor | None) -> tuple[Tensor, LayerState]:
        output = channels_last(conv.dense(x, shared))
        return output, LayerState(x.shape[2:], output, all_computed(output))

    def sparse_step(
        self,
        conv: ConvUnit,
        x: Tensor,
        shared: Tensor | None,
        state: LayerState,
        kernel: Kernel,
        override: Override,
    ) -> Tensor:
        logit = split_conv2d(x, shared, self.weight, self.bias, self.stride, self.padding)
        policy = override((logit[:, 0] >= 0).byte() * COMPUTE)
        if state.is_new is not None:
            state.policy[state.is_new] = COMPUTE  # nothing is known: skipped values have to be written
        todo, state.policy = without_repeated_skips(policy, state.policy), policy
        kernel.update(conv, x, shared, todo, state.output)
        return state.output


class ResidualGate(Gate):
    """COMPUTE or REUSE, from how much the input changed (Skip-Convolutions): what is added is the change's
    part."""

    method, needs_previous = "residual", True

    def __init__(self, conv: ConvUnit) -> None:
        super().__init__(conv)
        nn.init.xavier_uniform_(self.weight)
        nn.init.constant_(self.bias, RESIDUAL_START)

    def mix(
        self, conv: ConvUnit, x: Tensor, previous: Previous | None, tau: float, noise: Noise
    ) -> GatedOutput:
        """tau is relative to the method's own temperature."""
        assert previous is not None
        change = x - previous.input
        logit = self(change.abs()).float()
        soft = ((logit + noise(logit)) / (RESIDUAL_TEMPERATURE * tau)).sigmoid()
        computed = straight_through((soft >= 0.5).float(), soft)
        added = F.conv2d(change, conv.weight, None, conv.stride, conv.padding)
        return GatedOutput(previous.output + computed * added, computed)

    def choices(self, conv: ConvUnit, x: Tensor, previous: Previous | None) -> PolicyChoices:
        assert previous is not None
        change = x - previous.input
        added = F.conv2d(change, conv.weight, None, conv.stride, conv.padding)
        return self._against_zero(change.detach().abs(), previous.output, previous.output + added)

    def dense_step(self, conv: ConvUnit, x: Tensor, shared: Tensor | None) -> tuple[Tensor, LayerState]:
        output = channels_last(conv.convolve(x, shared))
        state = LayerState(x.shape[2:], output, all_computed(output), input=join_channels(x, shared).clone())
        return output.relu() if conv.relu else output.clone(), state

    def sparse_step(
        self,
        conv: ConvUnit,
        x: Tensor,
        shared: Tensor | None,
        state: LayerState,
        kernel: Kernel,
        override: Override,
    ) -> Tensor:
        assert state.input is not None
        if state.is_new is not None:
            state.input[state.is_new] = 0
            state.output[state.is_new] = 0 if conv.bias is None else conv.bias[:, None, None]
        x = join_channels(x, shared)
        change = x - state.input
        logit = fast_conv2d(change.abs(), self.weight, self.bias, self.stride, self.padding)
        policy = (logit[:, 0] >= 0).byte() * (COMPUTE - REUSE) + REUSE
        state.policy = computed_where_new(override(policy), state.is_new)
        kernel.add(conv, change, state.policy, state.output)
        state.input = x.clone()
        return state.output.relu() if conv.relu else state.output.clone()


class TripleGate(Gate):
    """SKIP, REUSE or COMPUTE, from the current and the previous input (Eq. 7 to 9)."""

    method, needs_previous = "triple", True
    frames_seen, logit_count = 2, 3

    def __init__(self, conv: ConvUnit) -> None:
        super().__init__(conv)
        nn.init.zeros_(self.weight)
        with torch.no_grad():
            self.bias.copy_(torch.tensor(TRIPLE_START))

    def mix(
        self, conv: ConvUnit, x: Tensor, previous: Previous | None, tau: float, noise: Noise
    ) -> GatedOutput:
        assert previous is not None
        logits = self(torch.cat([previous.input, x], dim=1)).float()
        soft = ((logits.log_softmax(dim=1) + noise(logits)) / tau).softmax(dim=1)
        hard = torch.zeros_like(soft).scatter_(1, soft.argmax(dim=1, keepdim=True), 1.0)
        policy = straight_through(hard, soft)
        computed, reused = policy[:, COMPUTE : COMPUTE + 1], policy[:, REUSE : REUSE + 1]
        return GatedOutput(computed * conv.convolve(x) + reused * previous.output, computed)

    def choices(self, conv: ConvUnit, x: Tensor, previous: Previous | None) -> PolicyChoices:
        assert previous is not None
        seen, output = torch.cat([previous.input, x], dim=1).detach(), conv.convolve(x)
        logits = self(seen).float()
        return PolicyChoices(
            (torch.zeros_like(output), previous.output, output), logits, logits.argmax(dim=1)
        )

    def dense_step(self, conv: ConvUnit, x: Tensor, shared: Tensor | None) -> tuple[Tensor, LayerState]:
        output = channels_last(conv.dense(x, shared))
        logits = split_conv2d(x, shared, self.halves()[3:], None, self.stride, self.padding).float()
        return output, LayerState(x.shape[2:], output, all_computed(output), logits)

    def sparse_step(
        self,
        conv: ConvUnit,
        x: Tensor,
        shared: Tensor | None,
        state: LayerState,
        kernel: Kernel,
        override: Override,
    ) -> Tensor:
        parts = split_conv2d(x, shared, self.halves(), None, self.stride, self.padding)
        now, later = parts.float().chunk(2, dim=1)
        assert state.logits is not None
        policy = argmax_policy(now + state.logits + self.bias.float()[:, None, None])
        policy = computed_where_new(override(policy), state.is_new)
        todo, state.policy, state.logits = without_repeated_skips(policy, state.policy), policy, later
        kernel.update(conv, x, shared, todo, state.output)
        return state.output

    def halves(self) -> Tensor:
        """The gate as one convolution with 6 outputs on the current input, for it is linear: the first three
        are its part in this frame's logits, the others its part in the next frame's. (6, Cin, k, k)"""
        next_frame, this_frame = self.weight.chunk(2, dim=1)
        return torch.cat([this_frame, next_frame])


GATES: dict[str, type[Gate]] = {gate.method: gate for gate in (StaticGate, ResidualGate, TripleGate)}


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The hard decision, with the soft one's gradient."""
    return hard + soft - soft.detach()
