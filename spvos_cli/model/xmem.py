"""XMem (Cheng and Schwing, ECCV 2022; arXiv:2207.07115), the network of the paper's Table VI.

Beside STCN it has a hidden state for each object, which the decoder updates on every frame and the memory
encoder on memory frames, and keys with a shrinkage (memory) and a selection (query).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spvos_cli.model.config import XMEM, ModelConfig
from spvos_cli.model.decoder import UpBlock
from spvos_cli.model.encoders import Fuser
from spvos_cli.model.layers import sum_of_others, upsample
from spvos_cli.model.resnet import BasicBlock, Bottleneck, ResNet
from spvos_cli.sparse.conv import LayerRunner, SparseConv2d
from spvos_cli.sparse.conv_unit import ConvUnit, repeat_rows


class XMemQuery(NamedTuple):
    """As `Query`, without a query value.

    Attributes:
        key: (1, Ck, H/16, W/16).
        shrinkage: (1, 1, H/16, W/16), at least 1: how sharply this pixel is matched once it is in the memory.
        selection: (1, Ck, H/16, W/16) in [0, 1]: which channels count when this frame is matched.
        f16, f8, f4: features at strides 16, 8 and 4.
    """

    key: Tensor
    shrinkage: Tensor
    selection: Tensor
    f16: Tensor
    f8: Tensor
    f4: Tensor


class XMemQueryEncoder(nn.Module):
    """ResNet-50 through layer3 with three 3x3 heads on f16."""

    def __init__(self, key_channels: int) -> None:
        super().__init__()
        self.trunk = ResNet(Bottleneck, (3, 4, 6))
        self.key = SparseConv2d(1024, key_channels, 3, role="other")
        self.shrinkage = SparseConv2d(1024, 1, 3, role="other")
        self.selection = SparseConv2d(1024, key_channels, 3, role="other")

    def forward(self, image: Tensor, run: LayerRunner | None = None) -> XMemQuery:
        f4, f8, f16 = self.trunk(image, run)
        shrinkage = self.shrinkage(f16, run).square() + 1
        selection = self.selection(f16, run).sigmoid()
        return XMemQuery(self.key(f16, run), shrinkage, selection, f16, f8, f4)


class HiddenState(nn.Module):
    """A gated recurrent step: what to forget, what to write, and where."""

    def __init__(self, in_channels: int, channels: int, *, gated: bool) -> None:
        super().__init__()
        unit = SparseConv2d if gated else ConvUnit
        self.transform = unit(in_channels + channels, 3 * channels, 3)

    def forward(self, x: Tensor, hidden: Tensor, run: LayerRunner | None = None) -> Tensor:
        """x: (B * K, in_channels, h, w), hidden: (B * K, channels, h, w) -> the new hidden."""
        joined = torch.cat([x, hidden], dim=1)
        values = self.transform(joined) if run is None else self.transform(joined, run)
        forget, update, written = values.chunk(3, dim=1)
        update = update.sigmoid()
        return forget.sigmoid() * hidden * (1 - update) + update * written.tanh()


class XMemMemoryEncoder(nn.Module):
    """ResNet-18 on frame and masks, the fuser, and the deep update of the hidden state."""

    def __init__(self, value_channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.trunk = ResNet(BasicBlock, (2, 2, 2), in_channels=5)
        self.fuser = Fuser(256 + 1024, value_channels)
        self.hidden_update = HiddenState(value_channels, hidden_channels, gated=False)

    def forward(
        self, image: Tensor, query: XMemQuery, masks: Tensor, hidden: Tensor, run: LayerRunner | None = None
    ) -> tuple[Tensor, Tensor]:
        """image: (B, 3, H, W), masks: (B, K, H, W), hidden: (B * K, Ch, h, w) -> values (B, K, Cv, h, w),
        hidden."""
        labels = torch.stack([masks, sum_of_others(masks)], dim=2).flatten(0, 1)
        _, _, objects16 = self.trunk(torch.cat([repeat_rows(image, len(labels)), labels], dim=1), run)
        values = self.fuser(objects16, query.f16, run)
        return values.unflatten(0, masks.shape[:2]), self.hidden_update(values, hidden)


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


class XMemDecoder(nn.Module):
    """The fuser on f16, readout and hidden state, STCN's up-blocks, and the update of the hidden state."""

    def __init__(self, value_channels: int, hidden_channels: int, channels: tuple[int, int, int]) -> None:
        super().__init__()
        c16, c8, c4 = channels
        self.fuser = Fuser(1024 + value_channels + hidden_channels, c16)
        self.up8 = UpBlock(512, c16, c8)
        self.up4 = UpBlock(256, c8, c4)
        self.predict = SparseConv2d(c4, 1, 3, role="other")
        self.hidden_update = HiddenUpdate(channels, hidden_channels)

    def forward(
        self, readout: Tensor, query: XMemQuery, hidden: Tensor, run: LayerRunner | None = None
    ) -> tuple[Tensor, Tensor]:
        """readout: (B, K, Cv, h, w), hidden: (B * K, Ch, h, w) -> logits (B, K, H, W), hidden."""
        x16 = self.fuser(torch.cat([readout.flatten(0, 1), hidden], dim=1), query.f16, run)
        x8 = self.up8(x16, query.f8, run)
        x4 = self.up4(x8, query.f4, run)
        logits = self.predict(F.relu(x4), run)
        hidden = self.hidden_update(x16, x8, torch.cat([x4, logits], dim=1), hidden, run)
        return upsample(logits, 4).squeeze(1).unflatten(0, readout.shape[:2]), hidden


class XMem(nn.Module):
    """The three modules; 62.2 million parameters."""

    def __init__(self, config: ModelConfig = XMEM) -> None:
        super().__init__()
        self.config = config
        self.query_encoder = XMemQueryEncoder(config.key_channels)
        self.memory_encoder = XMemMemoryEncoder(config.value_channels, config.hidden_channels)
        self.decoder = XMemDecoder(config.value_channels, config.hidden_channels, config.decoder_channels)
