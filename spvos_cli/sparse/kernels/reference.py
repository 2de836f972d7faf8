"""The sparse convolution as it is defined: densely, then chosen pixel by pixel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from spvos_cli.sparse.conv_unit import ConvUnit
from spvos_cli.sparse.policy import COMPUTE, SKIP


class ReferenceKernel:
    """Runs on every device; as slow as a dense convolution."""

    def update(
        self, conv: ConvUnit, x: Tensor, shared: Tensor | None, policy: Tensor, output: Tensor
    ) -> None:
        policy, computed = policy.unsqueeze(1), conv.dense(x, shared)
        skipped = conv.skipped()[:, None, None].to(output.dtype)
        output.copy_(torch.where(policy == COMPUTE, computed, torch.where(policy == SKIP, skipped, output)))

    def add(self, conv: ConvUnit, change: Tensor, policy: Tensor, output: Tensor) -> None:
        added = F.conv2d(change, conv.weight, None, conv.stride, conv.padding)
        output += added * (policy == COMPUTE).unsqueeze(1)


REFERENCE = ReferenceKernel()
