"""The residual networks of He et al. (arXiv:1512.03385) through their third stage, stride 16."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spvos_cli.model.layers import add_branch
from spvos_cli.sparse.conv import LayerRunner, SparseConv2d
from spvos_cli.sparse.conv_unit import ConvUnit


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; ResNet-18's. May overwrite its input."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int, *, bias: bool) -> None:
        super().__init__()
        self.conv1 = SparseConv2d(in_channels, channels, 3, stride, bias=bias, norm=True, relu=True)
        self.conv2 = SparseConv2d(channels, channels, 3, bias=bias, norm=True)
        self.shortcut = _shortcut(in_channels, channels, stride, bias=bias)

    def forward(self, x: Tensor, run: LayerRunner | None = None) -> Tensor:
        identity = x if self.shortcut is None else self.shortcut(x, run)
        return add_branch(identity, self.conv2(self.conv1(x, run), run), self.shortcut).relu_()


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride), 1x1 convolutions beside a shortcut; ResNet-50's. May overwrite its
    input."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int, *, bias: bool) -> None:
        super().__init__()
        self.conv1 = SparseConv2d(in_channels, channels, 1, bias=bias, norm=True, relu=True)
        self.conv2 = SparseConv2d(channels, channels, 3, stride, bias=bias, norm=True, relu=True)
        self.conv3 = SparseConv2d(channels, 4 * channels, 1, bias=bias, norm=True)
        self.shortcut = _shortcut(in_channels, 4 * channels, stride, bias=bias)

    def forward(self, x: Tensor, run: LayerRunner | None = None) -> Tensor:
        identity = x if self.shortcut is None else self.shortcut(x, run)
        branch = self.conv3(self.conv2(self.conv1(x, run), run), run)
        return add_branch(identity, branch, self.shortcut).relu_()


def _shortcut(in_channels: int, out_channels: int, stride: int, *, bias: bool) -> SparseConv2d | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return SparseConv2d(in_channels, out_channels, 1, stride, bias=bias, norm=True, role="other")


TORCHVISION_NAMES = (
    (r"^conv1\.", "stem."),
    (r"^bn1\.", "stem.norm."),
    (r"^layer(\d)\.", lambda match: f"stages.{int(match[1]) - 1}."),
    (r"\.bn(\d)\.", r".conv\1.norm."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
)


class ResNet(nn.Module):
    """Stem and three stages; returns the output of each stage.

    Args:
        block: BasicBlock or Bottleneck.
        depths: blocks in each of the three stages, (2, 2, 2) for ResNet-18 and (3, 4, 6) for ResNet-50.
        in_channels: 3, or 5 with the masks of this object and of the others.
        bias: whether convolutions have biases before their normalisation, as STCN's memory encoder's do.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, int, int],
        in_channels: int = 3,
        *,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.stem = ConvUnit(in_channels, 64, 7, 2, bias=bias, norm=True, relu=True)
        width, stages = 64, []
        for stage, depth in enumerate(depths):
            channels, blocks = 64 * 2**stage, []
            for i in range(depth):
                blocks.append(block(width, channels, 2 if stage > 0 and i == 0 else 1, bias=bias))
                width = channels * block.expansion
            stages.append(nn.ModuleList(blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor, run: LayerRunner | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """(B, in_channels, H, W) -> f4, f8, f16 with 64, 128, 256 channels times the block's expansion."""
        x = F.max_pool2d(self.stem(x), 3, 2, padding=1)
        f4 = self._run_stage(0, x, run)
        f8 = self._run_stage(1, f4, run)
        return f4, f8, self._run_stage(2, f8, run)

    def _run_stage(self, number: int, x: Tensor, run: LayerRunner | None) -> Tensor:
        stage = self.stages[number]
        assert isinstance(stage, nn.ModuleList)
        for block in stage:
            x = block(x, run)
        return x

    @torch.no_grad()
    def load_imagenet(self, tensors: Mapping[str, Tensor]) -> None:
        """Loads torchvision's weights of a whole ResNet of this depth; input channels beyond RGB start
        orthogonal, as STCN's do, biases that torchvision's do not have stay.

        Raises:
            KeyError: a tensor is missing: another network's weights.
        """
        renamed = {}
        for name, tensor in tensors.items():
            for pattern, replacement in TORCHVISION_NAMES:
                name = re.sub(pattern, replacement, name)
            renamed[name] = tensor
        extra = self.stem.in_channels - 3
        if extra:
            padding = nn.init.orthogonal_(self.stem.weight.new_empty(64, extra, 7, 7))
            renamed["stem.weight"] = torch.cat([renamed["stem.weight"], padding], dim=1)
        own = self.state_dict()
        self.load_state_dict(
            {n: t if n.endswith(".bias") and n not in renamed else renamed[n] for n, t in own.items()}
        )
