"""The query encoder and the memory encoder of the paper's network (Section III-B; Figure 2, left)."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spvos_cli.model.layers import ResidualBlock, sum_of_others
from spvos_cli.model.resnet import BasicBlock, Bottleneck, ResNet
from spvos_cli.sparse.conv import LayerRunner, SparseConv2d
from spvos_cli.sparse.conv_unit import repeat_rows


class Query(NamedTuple):
    """What the query encoder knows of a frame; H and W below are the padded frame's.

    Attributes:
        key: (1, Ck, H/16, W/16), matched against the memory keys; it becomes the memory key of a memory
            frame.
        value: (1, Cv, H/16, W/16), given to the decoder beside the readout.
        f16, f8, f4: features at strides 16, 8 and 4.
    """

    key: Tensor
    value: Tensor
    f16: Tensor
    f8: Tensor
    f4: Tensor


class QueryEngine(Protocol):
    """Takes a query encoder's place."""

    def __call__(self, image: Tensor) -> Query:
        """image: (B, 3, H, W), normalised; features are of its type, channels last."""


class QueryEncoder(nn.Module):
    """ResNet-50 through layer3 with two 3x3 heads on f16.

    Attributes:
        engine: takes the place of its modules where no run decides about pixels; for inference.
    """

    def __init__(self, key_channels: int, value_channels: int) -> None:
        super().__init__()
        self.engine: QueryEngine | None = None
        self.trunk = ResNet(Bottleneck, (3, 4, 6))
        self.key = SparseConv2d(1024, key_channels, 3, role="other")
        self.value = SparseConv2d(1024, value_channels, 3, role="other")

    def forward(self, image: Tensor, run: LayerRunner | None = None) -> Query:
        """image: (B, 3, H, W), normalised, H and W multiples of 16."""
        if self.engine is not None and run is None:
            return self.engine(image)
        f4, f8, f16 = self.trunk(image, run)
        return Query(self.key(f16, run), self.value(f16, run), f16, f8, f4)


class MemoryEncoder(nn.Module):
    """ResNet-18 through layer3 on the frame and the masks, fused with the frame's f16 into the memory
    value."""

    def __init__(self, value_channels: int) -> None:
        super().__init__()
        self.trunk = ResNet(BasicBlock, (2, 2, 2), in_channels=5, bias=True)
        self.fuser = Fuser(256 + 1024, value_channels)

    def forward(self, image: Tensor, query: Query, masks: Tensor, run: LayerRunner | None = None) -> Tensor:
        """One memory value an object.

        Args:
            image: (B, 3, H, W), normalised.
            query: what the query encoder made of the image.
            masks: (B, K, H, W) in [0, 1].

        Returns:
            (B, K, Cv, H/16, W/16)
        """
        labels = torch.stack([masks, sum_of_others(masks)], dim=2).flatten(0, 1)
        _, _, objects16 = self.trunk(torch.cat([repeat_rows(image, len(labels)), labels], dim=1), run)
        values = self.fuser(objects16, query.f16, run)
        return values.unflatten(0, masks.shape[:2])


class Fuser(nn.Module):
    """Two residual blocks with CBAM attention in between (STCN's FeatureFusionBlock)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.block1 = ResidualBlock(in_channels, channels)
        self.attention = CBAM(channels)
        self.block2 = ResidualBlock(channels, channels)

    def forward(self, x: Tensor, f16: Tensor, run: LayerRunner | None = None) -> Tensor:
        """x: (B * K, C, h, w), one an object, f16: (B, C', h, w), the frame's -> (B * K, channels, h, w)."""
        x = self.block1(x, run, shared=f16)
        return self.block2(x + self.attention(x), run)


class CBAM(nn.Module):
    """Convolutional block attention (Woo et al., arXiv:1807.06521): channel gate, then spatial gate."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.channel_mlp = nn.Sequential(
            nn.Linear(channels, channels // reduction), nn.ReLU(), nn.Linear(channels // reduction, channels)
        )
        self.spatial = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        average, maximum = F.adaptive_avg_pool2d(x, 1), F.adaptive_max_pool2d(x, 1)
        scale = self.channel_mlp(average.flatten(1)) + self.channel_mlp(maximum.flatten(1))
        x = x * scale.sigmoid()[:, :, None, None]
        pooled = torch.cat([x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)], dim=1)
        return x * self.spatial(pooled).sigmoid()
