"""XMem's hidden state, its sensory memory: a gated recurrent unit for each object (Section 3.2 of its
paper)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spvos_cli.sparse.conv import LayerRunner, SparseConv2d
from spvos_cli.sparse.conv_unit import ConvUnit


class HiddenState(nn.Module):
    """A gated recurrent step: what to forget, what to write, and where.

    Args:
        gated: whether its convolution is one of those that may have a gate.
    """

    def __init__(self, in_channels: int, channels: int, *, gated: bool) -> None:
        super().__init__()
        unit = SparseConv2d if gated else ConvUnit
        self.transform = unit(in_channels + channels, 3 * channels, 3)

    def forward(self, x: Tensor, hidden: Tensor, run: LayerRunner | None = None) -> Tensor:
        """x: (B * K, in_channels, h, w), hidden: (B * K, channels, h, w) float32 -> the new hidden, float32
        as well: it goes through as many steps as there are frames."""
        joined = torch.cat([x, hidden.to(x.dtype)], dim=1)
        values = self.transform(joined) if run is None else self.transform(joined, run)
        return renewed(hidden, values)


class HiddenUpdate(nn.Module):
    """The decoder's update of the hidden state from its features at all strides and its logits."""

    def __init__(self, channels: tuple[int, int, int], hidden_channels: int, width: int = 256) -> None:
        super().__init__()
        c16, c8, c4 = channels
        self.g16 = SparseConv2d(c16, width, 1)
        self.g8 = SparseConv2d(c8, width, 1)
        self.g4 = SparseConv2d(c4 + 1, width, 1)
        self.state = HiddenState(width, hidden_channels, gated=True)

    def forward(
        self, x16: Tensor, x8: Tensor, x4: Tensor, hidden: Tensor, run: LayerRunner | None = None
    ) -> Tensor:
        """Features (B * K, C, h, w) at strides 16, 8 and 4; averages take them all to stride 16."""
        x = self.g16(x16, run) + self.g8(F.avg_pool2d(x8, 2), run) + self.g4(F.avg_pool2d(x4, 4), run)
        return self.state(x, hidden, run)


def renewed(hidden: Tensor, values: Tensor) -> Tensor:
    """hidden: (N, channels, ...) float32, values: (N, 3 * channels, ...), of its convolution."""
    forget, update, written = values.float().chunk(3, dim=1)
    update = update.sigmoid()
    return forget.sigmoid() * hidden * (1 - update) + update * written.tanh()
