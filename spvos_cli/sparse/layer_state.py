"""What a stream keeps of a gated convolution between frames at test time."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from spvos_cli.sparse.conv_unit import ConvUnit
from spvos_cli.sparse.policy import COMPUTE, REUSE, SKIP


@dataclasses.dataclass
class LayerState:
    """What a stream keeps of a layer between frames at test time; rows are objects.

    Attributes:
        size: (H, W) of the layer's input.
        output: (B, Cout, H', W'), channels last: the unit's output, for the residual method before the ReLU.
        policy: (B, H', W') uint8 of the last step; where it is SKIP, the output is the skipped value already.
        logits: (B, 3, H', W'), the part of the next frame's logits that a triple gate knows already.
        input: (B, Cin, H, W), the residual method's true previous input.
        is_new: (B,) bool, rows that nothing is known of; None where there are none.
    """

    size: torch.Size
    output: Tensor
    policy: Tensor
    logits: Tensor | None = None
    input: Tensor | None = None
    is_new: Tensor | None = None

    @classmethod
    def blank(cls, conv: ConvUnit, x: Tensor) -> LayerState:
        """For a method without memory: every value has to be written, a skipped one too."""
        height, width = (-(-side // conv.stride[0]) for side in x.shape[2:])
        output = channels_last(x.new_empty(x.shape[0], conv.out_channels, height, width))
        return cls(x.shape[2:], output, all_computed(output))

    def rows(self, indices: Tensor) -> LayerState:
        """The given rows; an index of -1 makes a new one, which nothing is known of."""
        old = indices.clamp(min=0)
        is_new = indices < 0
        return LayerState(
            self.size,
            channels_last(self.output.index_select(0, old)),
            self.policy.index_select(0, old),
            None if self.logits is None else self.logits.index_select(0, old),
            None if self.input is None else self.input.index_select(0, old),
            is_new if is_new.any() else None,
        )


def without_repeated_skips(policy: Tensor, before: Tensor) -> Tensor:
    """The policy with REUSE where SKIP would write what the policy before, which was SKIP, has written;
    (B, H, W) uint8."""
    return policy.masked_fill((policy == SKIP) & (before == SKIP), REUSE)


def all_computed(output: Tensor) -> Tensor:
    """The policy of a dense step: (B, C, H, W) -> (B, H, W)."""
    return torch.full_like(output[:, 0], COMPUTE, dtype=torch.uint8)


def computed_where_new(policy: Tensor, is_new: Tensor | None) -> Tensor:
    """COMPUTE in all of the rows that nothing is known of."""
    return policy if is_new is None else policy.masked_fill(is_new[:, None, None], COMPUTE)


def channels_last(x: Tensor) -> Tensor:
    """Kernels write pixels as rows of what is kept."""
    return x.contiguous(memory_format=torch.channels_last)
