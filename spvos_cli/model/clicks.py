"""The network that makes an object's mask of what was said about it in one picture: a box, clicks, a mask
that is to be corrected. It has the lite model's trunk, and a small decoder that is told what was said at
every stride."""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spvos_cli.model.backends.engines import TrunkEngine
from spvos_cli.model.config import CLICKS, ModelConfig
from spvos_cli.model.efficientnet import EfficientNetLite
from spvos_cli.model.layers import upsample
from spvos_cli.model.lite import LiteUpBlock, LiteVOS
from spvos_cli.model.network import Network, VOSNetwork
from spvos_cli.sparse.conv_unit import ConvUnit

MAPS = 5  # what is said: the mask so far, positive and negative clicks, inside of the box, depth in the box
HEADS = 4
CONTEXT_BLOCKS = 3
Features = tuple[Tensor, Tensor, Tensor]


class ContextBlock(nn.Module):
    """Self-attention over the whole picture and two linear layers: what looks like what was clicked on, or
    like what lies inside or outside of the box, can be far away. Where a pixel lies it learns from its
    neighbours."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.position = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.merge = nn.Linear(channels, channels)
        self.widen, self.narrow = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)
        for last in (self.merge, self.narrow, self.position):  # the block starts as the identity
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.get_parameter("bias"))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        x = x + self.position(x)
        rows = x.flatten(2).transpose(1, 2)
        qkv = self.qkv(self.norm1(rows)).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        # written out: on CPUs PyTorch's fused function takes several times as long backwards
        weights = (query @ key.transpose(2, 3) * query.shape[3] ** -0.5).softmax(dim=3)
        found = (weights.to(value.dtype) @ value).transpose(1, 2).flatten(2)
        rows = rows + self.merge(found)
        rows = rows + self.narrow(F.relu(self.widen(self.norm2(rows))))
        return rows.transpose(1, 2).unflatten(2, x.shape[2:])


class ClickNetwork(Network):
    """Trunk, and a decoder that can be asked again about the same picture with more clicks.

    Attributes:
        trunk_engine: takes the trunk's place, which does not learn then.
    """

    def __init__(self, config: ModelConfig = CLICKS) -> None:
        super().__init__(config)
        self.trunk = EfficientNetLite(config.trunk)
        self.trunk_engine: TrunkEngine | None = None
        c4, c8, c16 = self.trunk.channels
        d16, d8, d4 = config.decoder_channels
        p4, p8 = c4, 2 * c4
        self.said4 = nn.Conv2d(MAPS, p4, 4, stride=4)
        self.said8 = ConvUnit(p4, p8, 3, stride=2, relu=True)
        self.said16 = ConvUnit(p8, d16, 3, stride=2)
        self.seen16 = ConvUnit(c16 + c8, d16, 1)
        self.context = nn.Sequential(*(ContextBlock(d16) for _ in range(CONTEXT_BLOCKS)))
        self.up8 = LiteUpBlock(c8 + p8, d16, d8)
        self.up4 = LiteUpBlock(c4 + p4, d8, d4)
        self.predict = ConvUnit(d4, 4, 3)

    @classmethod
    def started_from(cls, lite: VOSNetwork) -> ClickNetwork:
        """With the trunk and, as far as it fits, the decoder of the lite model: how a coarse mask becomes a
        fine one need not be learned again. What was said has no effect there at first."""
        assert isinstance(lite, LiteVOS)
        given = lite.config
        network = cls(dataclasses.replace(CLICKS, trunk=given.trunk, decoder_channels=given.decoder_channels))
        network.trunk.load_state_dict(lite.query_encoder.trunk.state_dict())
        network.predict.load_state_dict(lite.decoder.predict.state_dict())
        for own, block in ((network.up8, lite.decoder.up8), (network.up4, lite.decoder.up4)):
            own.block.load_state_dict(block.block.state_dict())
            seen = block.skip.in_channels
            with torch.no_grad():
                own.skip.weight.zero_()
                own.skip.weight[:, :seen] = block.skip.weight
                own.skip.get_parameter("bias").copy_(block.skip.get_parameter("bias"))
        return network

    def encode(self, image: Tensor) -> Features:
        """(B, 3, H, W) RGB in [0, 1], sides multiples of 16 -> what `forward` needs of the picture."""
        return (self.trunk_engine or self.trunk)(self.normalize(image))

    def forward(self, features: Features, said: Tensor) -> Tensor:
        """The logits (B, H, W) of the object.

        Args:
            features: of `encode`.
            said: (B, MAPS, H, W) in [0, 1], see `model.said.said_maps`.
        """
        f4, f8, f16 = features
        p4 = F.relu(self.said4(said))
        p8 = self.said8(p4)
        x = self.seen16(torch.cat([f16, F.avg_pool2d(f8, 2)], dim=1)) + self.said16(p8)
        x = self.context(x)
        x = self.up8(x, torch.cat([f8, p8], dim=1))
        x = self.up4(x, torch.cat([f4, p4], dim=1))
        return upsample(F.pixel_shuffle(self.predict(F.relu(x)), 2), 2)[:, 0]
