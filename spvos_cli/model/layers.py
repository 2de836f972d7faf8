"""The building blocks that encoders and decoders share, and the two conventions of the field: padding and
aggregation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spvos_cli.sparse.conv import LayerRunner, SparseConv2d

Padding = tuple[int, int, int, int]


class ResidualBlock(nn.Module):
    """relu - conv3x3 - relu - conv3x3 beside the identity, or beside a convolution where the channel count
    changes.

    Args:
        shortcut_size: kernel size of the convolution on the shortcut.
        start_at_zero: the second convolution starts at zero, so that the block starts as its shortcut.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, shortcut_size: int = 3, start_at_zero: bool = False
    ) -> None:
        super().__init__()
        self.conv1 = SparseConv2d(in_channels, out_channels, 3, relu=True)
        self.conv2 = SparseConv2d(out_channels, out_channels, 3)
        self.shortcut = None
        if in_channels != out_channels:
            self.shortcut = SparseConv2d(in_channels, out_channels, shortcut_size, role="other")
        if start_at_zero:
            for parameter in self.conv2.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor, run: LayerRunner | None = None, shared: Tensor | None = None) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W). May overwrite x where no gradient is recorded.

        Args:
            run: decides about the pixels of gated convolutions.
            shared: the last of the input channels, where they are the same for all objects of a frame; needs
                a block that changes the channel count.
        """
        identity = x if self.shortcut is None else self.shortcut(x, run, shared)
        active = None if shared is None else F.relu(shared)
        branch = self.conv2(self.conv1(F.relu(x), run, active), run)
        return add_branch(identity, branch, self.shortcut)


def add_branch(identity: Tensor, branch: Tensor, shortcut: SparseConv2d | None) -> Tensor:
    """The sum of a block; where no gradient is recorded it takes the place of the identity, as large buffers
    cost their time, unless that is what a gated shortcut keeps for the next frame."""
    if torch.is_grad_enabled() or (shortcut is not None and shortcut.is_gated):
        return identity + branch
    return identity.add_(branch)


def upsample(x: Tensor, factor: int) -> Tensor:
    """(B, C, H, W) -> (B, C, factor * H, factor * W), bilinear, aligned at the pixels' outer edges."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def pad_to_multiple(x: Tensor, multiple: int = 16) -> tuple[Tensor, Padding]:
    """Zero-pads the last two dimensions to a multiple, the smaller half first; the second value undoes it
    (`unpad`)."""
    padding = padding_to_multiple(x.shape[-2], x.shape[-1], multiple)
    return F.pad(x, padding), padding


def padding_to_multiple(height: int, width: int, multiple: int = 16) -> Padding:
    """What `pad_to_multiple` adds: left, right, top, bottom."""
    extra_h, extra_w = -height % multiple, -width % multiple
    return extra_w // 2, extra_w - extra_w // 2, extra_h // 2, extra_h - extra_h // 2


def unpad(x: Tensor, padding: Padding) -> Tensor:
    """Crops what `pad_to_multiple` added."""
    left, right, top, bottom = padding
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def aggregate(prob: Tensor) -> Tensor:
    """Soft aggregation (STM, Section 3.4): independent object probabilities to a distribution over background
    and objects.

    Args:
        prob: (K, H, W) or (B, K, H, W) in [0, 1].

    Returns:
        The same with one more channel, the background first; it sums to 1 over the channels.
    """
    if torch.is_grad_enabled():
        return aggregate_logits(prob).softmax(dim=-3)
    odds = _with_background(prob)  # the softmax of their logarithms, without a logarithm
    odds /= 1 - odds
    return odds.div_(odds.sum(dim=-3, keepdim=True))


def aggregate_logits(prob: Tensor) -> Tensor:
    """The log-odds whose softmax is `aggregate`; shapes as there."""
    clamped = _with_background(prob)
    return torch.log(clamped / (1 - clamped))


def _with_background(prob: Tensor) -> Tensor:
    """The probability that there is no object, before the objects'; all within 0 and 1."""
    background = (1 - prob).prod(dim=-3, keepdim=True)
    return torch.cat([background, prob], dim=-3).clamp(1e-7, 1 - 1e-7)


def sum_of_others(masks: Tensor) -> Tensor:
    """The sum of the other objects' masks, for each object: (..., K, H, W) -> (..., K, H, W)."""
    return masks.sum(dim=-3, keepdim=True) - masks
