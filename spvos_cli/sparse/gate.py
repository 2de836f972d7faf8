"""One gate class a method: its shape, its start, how it mixes the policies in training, and its step at test
time.

Section III-C and Section IV-B3 of the paper. A gate has the kernel size, stride and padding of its
convolution.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spvos_cli.model.cpu.products import conv2d
from spvos_cli.sparse.conv import ConvUnit, join, split_conv2d
from spvos_cli.sparse.kernels.kernel import Kernel
from spvos_cli.sparse.policy import COMPUTE, REUSE, SKIP, largest

RESIDUAL_TEMPERATURE = 2 / 3  # Habibian et al., Skip-Convolutions (CVPR 2021)
RESIDUAL_START = 0.6
TRIPLE_START = (0.0, 0.5, 1.0)  # SKIP, REUSE, COMPUTE: everything is computed at first, then rather reused

Settle = Callable[[Tensor], Tensor]  # (B, H, W) policies that a gate chose -> those that hold
Noise = Callable[[Tensor], Tensor]  # standard Gumbel noise in the shape of a tensor


class Previous(NamedTuple):
    """What a layer took in and put out, before normalisation, at t-1."""

    input: Tensor
    output: Tensor


class Mixed(NamedTuple):
    """A sparse step in training.

    Attributes:
        output: (B, Cout, H, W), before normalisation.
        computed: (B, 1, H, W), 1 where COMPUTE was chosen and 0 elsewhere, with a gradient.
    """

    output: Tensor
    computed: Tensor


class Choices(NamedTuple):
    """What a gate can choose from in a sparse step.

    Attributes:
        outputs: what comes of each of P policies, before normalisation; (B, Cout, H, W), COMPUTE's last.
        logits: (B, P, H, W).
        chosen: (B, H, W), numbers of the policies that it chose.
    """

    outputs: tuple[Tensor, ...]
    logits: Tensor
    chosen: Tensor


@dataclasses.dataclass
class Kept:
    """What a stream keeps of a layer between frames at test time; rows are objects.

    Attributes:
        size: (H, W) of the layer's input.
        output: (B, Cout, H', W'), channels last: the unit's output, for the residual method before the ReLU.
        policy: (B, H', W') uint8 of the last step; where it is SKIP, the output is the skipped value already.
        logits: (B, 3, H', W'), the part of the next frame's logits that a triple gate knows already.
        input: (B, Cin, H, W), the residual method's true previous input.
        fresh: (B,) bool, rows that nothing is known of; None where there are none.
    """

    size: torch.Size
    output: Tensor
    policy: Tensor
    logits: Tensor | None = None
    input: Tensor | None = None
    fresh: Tensor | None = None

    @classmethod
    def blank(cls, conv: ConvUnit, x: Tensor) -> Kept:
        """For a method without memory: every value has to be written, a skipped one too."""
        height, width = (-(-side // conv.stride[0]) for side in x.shape[2:])
        output = channels_last(x.new_empty(x.shape[0], conv.out_channels, height, width))
        return cls(x.shape[2:], output, all_computed(output))

    def rows(self, indices: Tensor) -> Kept:
        """The given rows; an index of -1 makes a fresh one."""
        old = indices.clamp(min=0)
        fields = (self.output, self.policy, self.logits, self.input)
        kept = [None if tensor is None else tensor.index_select(0, old) for tensor in fields]
        kept[0] = channels_last(kept[0])
        fresh = indices < 0
        return Kept(self.size, *kept, fresh=fresh if fresh.any() else None)

    def replace(self, policy: Tensor) -> Tensor:
        """Sets the policy, and returns it with REUSE where SKIP would write what is there already."""
        before, self.policy = self.policy, policy
        return policy.masked_fill((policy == SKIP) & (before == SKIP), REUSE)


class Gate(nn.Conv2d):
    """Decides about every output pixel of a convolution."""

    method: str
    needs_previous: bool  # without a t-1 the convolution runs densely

    def __init__(self, conv: ConvUnit, inputs: int, logits: int) -> None:
        super().__init__(inputs * conv.in_channels, logits, conv.kernel_size, conv.stride, conv.padding)

    def mix(self, conv: ConvUnit, x: Tensor, previous: Previous | None, tau: float, noise: Noise) -> Mixed:
        """One sparse step in training, where all pixels are computed and the policies mix what becomes of
        them."""
        raise NotImplementedError

    def choices(self, conv: ConvUnit, x: Tensor, previous: Previous | None) -> Choices:
        """A sparse step in training that is left to choose; gradients of the logits end at the gate."""
        raise NotImplementedError

    def remember(self, conv: ConvUnit, x: Tensor, shared: Tensor | None) -> tuple[Tensor, Kept]:
        """A dense step at test time: the unit's output, and what the next step needs."""
        raise NotImplementedError

    def step(
        self, conv: ConvUnit, x: Tensor, shared: Tensor | None, kept: Kept, kernel: Kernel, settle: Settle
    ) -> Tensor:
        """A sparse step at test time: the unit's output, which may be a buffer that the next step changes.

        Args:
            settle: has the last word about the policies that the gate chose.
        """
        raise NotImplementedError

    def _against_zero(self, seen: Tensor, closed: Tensor, opened: Tensor) -> Choices:
        """Between two policies, of which the second is chosen from a logit of 0 on."""
        logit = self(seen).float()
        logits = torch.cat([torch.zeros_like(logit), logit], dim=1)
        return Choices((closed, opened), logits, (logit[:, 0] >= 0).long())


class StaticGate(Gate):
    """COMPUTE or SKIP, from the current input alone (dynamic convolutions)."""

    method, needs_previous = "static", False

    def __init__(self, conv: ConvUnit) -> None:
        super().__init__(conv, inputs=1, logits=1)

    def mix(self, conv: ConvUnit, x: Tensor, previous: Previous | None, tau: float, noise: Noise) -> Mixed:
        logit = self(x).float()
        soft = ((logit + noise(logit) - noise(logit)) / tau).sigmoid()
        computed = straight_through((soft >= 0.5).float(), soft)
        return Mixed(computed * conv.convolve(x), computed)

    def choices(self, conv: ConvUnit, x: Tensor, previous: Previous | None) -> Choices:
        output = conv.convolve(x)
        return self._against_zero(x.detach(), torch.zeros_like(output), output)

    def remember(self, conv: ConvUnit, x: Tensor, shared: Tensor | None) -> tuple[Tensor, Kept]:
        output = channels_last(conv.dense(x, shared))
        return output, Kept(x.shape[2:], output, all_computed(output))

    def step(
        self, conv: ConvUnit, x: Tensor, shared: Tensor | None, kept: Kept, kernel: Kernel, settle: Settle
    ) -> Tensor:
        logit = split_conv2d(x, shared, self.weight, self.bias, self.stride, self.padding)
        policy = settle((logit[:, 0] >= 0).byte() * COMPUTE)
        if kept.fresh is not None:
            kept.policy[kept.fresh] = COMPUTE  # nothing is known: skipped values have to be written
        kernel.update(conv, x, shared, kept.replace(policy), kept.output)
        return kept.output


class ResidualGate(Gate):
    """COMPUTE or REUSE, from how much the input changed (Skip-Convolutions): what is added is the change's
    part."""

    method, needs_previous = "residual", True

    def __init__(self, conv: ConvUnit) -> None:
        super().__init__(conv, inputs=1, logits=1)
        nn.init.xavier_uniform_(self.weight)
        nn.init.constant_(self.bias, RESIDUAL_START)

    def mix(self, conv: ConvUnit, x: Tensor, previous: Previous | None, tau: float, noise: Noise) -> Mixed:
        """tau is relative to the method's own temperature."""
        change = x - previous.input
        logit = self(change.abs()).float()
        soft = ((logit + noise(logit)) / (RESIDUAL_TEMPERATURE * tau)).sigmoid()
        computed = straight_through((soft >= 0.5).float(), soft)
        added = F.conv2d(change, conv.weight, None, conv.stride, conv.padding)
        return Mixed(previous.output + computed * added, computed)

    def choices(self, conv: ConvUnit, x: Tensor, previous: Previous | None) -> Choices:
        change = x - previous.input
        added = F.conv2d(change, conv.weight, None, conv.stride, conv.padding)
        return self._against_zero(change.detach().abs(), previous.output, previous.output + added)

    def remember(self, conv: ConvUnit, x: Tensor, shared: Tensor | None) -> tuple[Tensor, Kept]:
        output = channels_last(conv.convolve(x, shared))
        kept = Kept(x.shape[2:], output, all_computed(output), input=join(x, shared).clone())
        return output.relu() if conv.relu else output.clone(), kept

    def step(
        self, conv: ConvUnit, x: Tensor, shared: Tensor | None, kept: Kept, kernel: Kernel, settle: Settle
    ) -> Tensor:
        if kept.fresh is not None:
            kept.input[kept.fresh] = 0
            kept.output[kept.fresh] = 0 if conv.bias is None else conv.bias[:, None, None]
        x = join(x, shared)
        change = x - kept.input
        logit = conv2d(change.abs(), self.weight, self.bias, self.stride, self.padding)
        policy = (logit[:, 0] >= 0).byte() * (COMPUTE - REUSE) + REUSE
        kept.policy = with_fresh(settle(policy), kept.fresh)
        kernel.add(conv, change, kept.policy, kept.output)
        kept.input = x.clone()
        return kept.output.relu() if conv.relu else kept.output.clone()


class TripleGate(Gate):
    """SKIP, REUSE or COMPUTE, from the current and the previous input (Eq. 7 to 9)."""

    method, needs_previous = "triple", True

    def __init__(self, conv: ConvUnit) -> None:
        super().__init__(conv, inputs=2, logits=3)
        nn.init.zeros_(self.weight)
        with torch.no_grad():
            self.bias.copy_(torch.tensor(TRIPLE_START))

    def mix(self, conv: ConvUnit, x: Tensor, previous: Previous | None, tau: float, noise: Noise) -> Mixed:
        logits = self(torch.cat([previous.input, x], dim=1)).float()
        soft = ((logits.log_softmax(dim=1) + noise(logits)) / tau).softmax(dim=1)
        hard = torch.zeros_like(soft).scatter_(1, soft.argmax(dim=1, keepdim=True), 1.0)
        policy = straight_through(hard, soft)
        computed, reused = policy[:, COMPUTE : COMPUTE + 1], policy[:, REUSE : REUSE + 1]
        return Mixed(computed * conv.convolve(x) + reused * previous.output, computed)

    def choices(self, conv: ConvUnit, x: Tensor, previous: Previous | None) -> Choices:
        seen, output = torch.cat([previous.input, x], dim=1).detach(), conv.convolve(x)
        logits = self(seen).float()
        return Choices((torch.zeros_like(output), previous.output, output), logits, logits.argmax(dim=1))

    def remember(self, conv: ConvUnit, x: Tensor, shared: Tensor | None) -> tuple[Tensor, Kept]:
        output = channels_last(conv.dense(x, shared))
        logits = split_conv2d(x, shared, self.halves()[3:], None, self.stride, self.padding).float()
        return output, Kept(x.shape[2:], output, all_computed(output), logits)

    def step(
        self, conv: ConvUnit, x: Tensor, shared: Tensor | None, kept: Kept, kernel: Kernel, settle: Settle
    ) -> Tensor:
        parts = split_conv2d(x, shared, self.halves(), None, self.stride, self.padding)
        now, later = parts.float().chunk(2, dim=1)
        policy = largest(now + kept.logits + self.bias.float()[:, None, None])
        kept.logits = later
        kernel.update(conv, x, shared, kept.replace(with_fresh(settle(policy), kept.fresh)), kept.output)
        return kept.output

    def halves(self) -> Tensor:
        """The gate as one convolution with 6 outputs on the current input, for it is linear: the first three
        are its part in this frame's logits, the others its part in the next frame's. (6, Cin, k, k)"""
        next_frame, this_frame = self.weight.chunk(2, dim=1)
        return torch.cat([this_frame, next_frame])


GATES: dict[str, type[Gate]] = {gate.method: gate for gate in (StaticGate, ResidualGate, TripleGate)}


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The hard decision, with the soft one's gradient."""
    return hard + soft - soft.detach()


def all_computed(output: Tensor) -> Tensor:
    """The policy of a dense step: (B, C, H, W) -> (B, H, W)."""
    return torch.full_like(output[:, 0], COMPUTE, dtype=torch.uint8)


def with_fresh(policy: Tensor, fresh: Tensor | None) -> Tensor:
    """COMPUTE in all of the rows that nothing is known of."""
    return policy if fresh is None else policy.masked_fill(fresh[:, None, None], COMPUTE)


def channels_last(x: Tensor) -> Tensor:
    """Kernels write pixels as rows of what is kept."""
    return x.contiguous(memory_format=torch.channels_last)
