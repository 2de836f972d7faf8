"""One gate class a method: its shape, its start, how it mixes the policies in training, and its step at test
time.

Section III-C and Section IV-B3 of the paper.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spvos_cli.model.cpu.products import fast_conv2d
from spvos_cli.sparse.conv_unit import ConvUnit, join_channels, split_conv2d
from spvos_cli.sparse.gate_base import (
    Gate,
    GatedOutput,
    Given,
    Noise,
    Override,
    PolicyChoices,
    Previous,
    as_chosen,
)
from spvos_cli.sparse.kernels.kernel import DecidingKernel, Kernel
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
        return against_zero(self, x.detach(), torch.zeros_like(output), output)

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
        return against_zero(self, change.detach().abs(), previous.output, previous.output + added)

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
    joined: Tensor | None

    def __init__(self, conv: ConvUnit) -> None:
        super().__init__(conv)
        self.register_buffer("joined", None, persistent=False)
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
        given = override.policy if isinstance(override, Given) else None
        blind = override is as_chosen or given is not None
        if (
            blind
            and isinstance(kernel, DecidingKernel)
            and kernel.decide(conv, x, shared, parts, self.bias, state, given)
        ):
            return state.output
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
        if self.joined is not None:
            return self.joined
        next_frame, this_frame = self.weight.chunk(2, dim=1)
        return torch.cat([this_frame, next_frame])

    def join_halves(self) -> None:
        """Keeps what `halves` makes; for inference only."""
        self.joined = None
        self.joined = self.halves().contiguous(memory_format=torch.channels_last)


GATES: dict[str, type[Gate]] = {gate.method: gate for gate in (StaticGate, ResidualGate, TripleGate)}


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The hard decision, with the soft one's gradient."""
    return hard + soft - soft.detach()


def against_zero(gate: Gate, seen: Tensor, closed: Tensor, opened: Tensor) -> PolicyChoices:
    """Between two policies, of which the second is chosen from a logit of 0 on."""
    logit = gate(seen).float()
    logits = torch.cat([torch.zeros_like(logit), logit], dim=1)
    return PolicyChoices((closed, opened), logits, (logit[:, 0] >= 0).long())
