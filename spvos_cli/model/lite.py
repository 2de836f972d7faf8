"""The lite network: the paper's four modules at a size that a laptop runs, on a trunk with ImageNet weights.

Besides its size it differs from the paper's network in three ways, each for learning from little data: keys
are directions in the trunk's own feature space, so that matching works before any training; memory values
carry the masks themselves beside the learned channels, so that the decoder starts from a coarse mask and only
refines it; and the previous frame is read a second time with a preference for nearby pixels, which tells
look-alikes apart.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spvos_cli.model.backends.engines import DecoderEngine, MemoryEngine, TrunkEngine
from spvos_cli.model.config import LITE, ModelConfig, Trunk
from spvos_cli.model.efficientnet import EfficientNetLite
from spvos_cli.model.encoders import Query, QueryEngine
from spvos_cli.model.host import Host
from spvos_cli.model.layers import ResidualBlock, sum_of_others, upsample
from spvos_cli.model.matching import (
    TopKReadout,
    as_rows,
    grid_positions,
    nearby_readout,
    readout,
    similarity,
    top_k_readout,
)
from spvos_cli.model.network import Memory, VOSNetwork
from spvos_cli.sparse.conv import LayerRunner, SparseConv2d
from spvos_cli.sparse.conv_unit import ConvUnit, repeat_rows

LABELS = 2  # this object's mask and the others'
SEEN = 0.05  # share of a 16x16 patch that an object covers somewhere in a frame in which it is visible


class LiteQueryEncoder(nn.Module):
    """EfficientNet-Lite with a key head on f16 and f8 and a value head on f16.

    Attributes:
        engine: takes the place of its modules where no run decides about pixels; for inference.
        trunk_engine: takes the trunk's place, which does not learn then.
    """

    def __init__(self, trunk: Trunk, key_channels: int, value_channels: int) -> None:
        super().__init__()
        self.trunk = EfficientNetLite(trunk)
        self.engine: QueryEngine | None = None
        self.trunk_engine: TrunkEngine | None = None
        _, c8, c16 = self.trunk.channels
        self.project = ConvUnit(c16 + c8, key_channels, 1)
        last = ConvUnit(key_channels, key_channels, 3)
        self.refine = nn.Sequential(ConvUnit(c16 + c8, key_channels, 3, relu=True), last)
        self.log_scale = nn.Parameter(torch.tensor(math.log(12.0)))
        self.value = SparseConv2d(c16, value_channels, 3, role="other")
        nn.init.orthogonal_(self.project.weight)
        for parameter in (self.project.get_parameter("bias"), *last.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, image: Tensor, run: LayerRunner | None = None) -> Query:
        """image: (B, 3, H, W), normalised, H and W multiples of 16."""
        if self.engine is not None and run is None:
            return self.engine(image)
        f4, f8, f16 = (self.trunk_engine or self.trunk)(image)
        return Query(self.key(f16, f8), self.value(f16, run), f16, f8, f4)

    def key(self, f16: Tensor, f8: Tensor) -> Tensor:
        """Directions of learned length: the similarity of two keys is then their cosine, scaled."""
        x = torch.cat([F.normalize(f16, dim=1), F.normalize(F.avg_pool2d(f8, 2), dim=1)], dim=1)
        return F.normalize(self.project(x) + self.refine(x), dim=1) * self.log_scale.exp()


class LiteMemoryEncoder(nn.Module):
    """The trunk's f16 plus an embedding of each 16x16 mask patch, through two residual blocks.

    Attributes:
        engine: as in `LiteQueryEncoder`.
    """

    def __init__(self, feature_channels: int, channels: int) -> None:
        super().__init__()
        self.engine: MemoryEngine | None = None
        self.features = ConvUnit(feature_channels, channels, 1)
        self.identity = nn.Conv2d(LABELS, channels, 16, stride=16)
        self.block1 = ResidualBlock(channels, channels, start_at_zero=True)
        self.block2 = ResidualBlock(channels, channels, start_at_zero=True)

    def forward(self, image: Tensor, query: Query, masks: Tensor, run: LayerRunner | None = None) -> Tensor:
        """masks: (B, K, H, W) in [0, 1] -> (B, K, channels + 2, H/16, W/16); the image is not looked at
        again."""
        if self.engine is not None and run is None:
            return self.engine(query.f16, masks)
        labels = torch.stack([masks, sum_of_others(masks)], dim=2).flatten(0, 1)
        x = repeat_rows(self.features(query.f16), len(labels)) + self.identity(labels)
        x = self.block2(self.block1(x, run), run)
        return torch.cat([x, F.avg_pool2d(labels, 16)], dim=1).unflatten(0, masks.shape[:2])


class LiteUpBlock(nn.Module):
    """As the paper's UpBlock, with the labels that were read from memory added where they are given."""

    def __init__(
        self, skip_channels: int, in_channels: int, out_channels: int, label_channels: int = 0
    ) -> None:
        super().__init__()
        self.skip = SparseConv2d(skip_channels, in_channels, 1, role="other", per_frame=True)
        self.labels = SparseConv2d(label_channels, in_channels, 3, role="module") if label_channels else None
        self.block = ResidualBlock(in_channels, out_channels, shortcut_size=1, start_at_zero=True)

    def forward(
        self, x: Tensor, features: Tensor, run: LayerRunner | None = None, labels: Tensor | None = None
    ) -> Tensor:
        x = upsample(x, 2).add_(repeat_rows(self.skip(features, run), len(x)))
        if self.labels is not None and labels is not None:
            x += self.labels(upsample(labels, 2), run)
        return self.block(x, run)


class LiteDecoder(nn.Module):
    """The paper's decoder at the lite model's widths; the readout is of the memory and of the previous frame,
    and the prediction at stride 4 is of four logits, for stride 2.

    Attributes:
        engine: as in `LiteQueryEncoder`.
    """

    def __init__(
        self, trunk_channels: tuple[int, int, int], value_channels: int, channels: tuple[int, int, int]
    ) -> None:
        super().__init__()
        self.engine: DecoderEngine | None = None
        self.value_channels = value_channels
        c16, c8, c4 = channels
        skip4, skip8, _ = trunk_channels
        self.compress = ResidualBlock(2 * (value_channels + LABELS) + value_channels, c16, shortcut_size=1)
        self.up8 = LiteUpBlock(skip8, c16, c8, label_channels=2 * LABELS)
        self.up4 = LiteUpBlock(skip4, c8, c4)
        self.predict = SparseConv2d(c4, 4, 3, role="other")

    def forward(self, readout: Tensor, query: Query, run: LayerRunner | None = None) -> Tensor:
        """readout: (B, K, 2 (Cv + 2), h, w) -> logits (B, K, 16 h, 16 w)."""
        if self.engine is not None and run is None:
            return self.engine(readout, query)
        rows = readout.flatten(0, 1)
        x = self.compress(rows, run, shared=query.value)
        x = self.up8(x, query.f8, run, self.labels_in(rows))
        x = self.up4(x, query.f4, run)
        logits = F.pixel_shuffle(self.predict(x.relu_(), run), 2)
        return upsample(logits, 2).squeeze(1).unflatten(0, readout.shape[:2])

    def labels_in(self, readout: Tensor) -> Tensor:
        """The masks in it: (N, 2 (Cv + 2), h, w) -> (N, 4, h, w)."""
        return torch.cat([half[:, -LABELS:] for half in readout.chunk(2, dim=1)], dim=1)


class LiteVOS(VOSNetwork):
    """The default network."""

    query_encoder: LiteQueryEncoder
    memory_encoder: LiteMemoryEncoder
    decoder: LiteDecoder
    reads_last_frame = True
    follows_region = True
    merges_background = True
    drops_distractors = True
    keeps_trunk = True
    openvino = "spvos_cli.model.backends.lite_engine"
    openvino_always_pays = True
    on_cells = "spvos_cli.model.cell_decoder"

    def __init__(self, config: ModelConfig = LITE) -> None:
        super().__init__(config)
        self.query_encoder = LiteQueryEncoder(config.trunk, config.key_channels, config.value_channels)
        trunk_channels = self.query_encoder.trunk.channels
        self.memory_encoder = LiteMemoryEncoder(trunk_channels[2], config.value_channels)
        self.decoder = LiteDecoder(trunk_channels, config.value_channels, config.decoder_channels)
        self.log_locality = nn.Parameter(torch.tensor(math.log(0.1)))

    def match_rows(
        self,
        query: Query,
        memory: Memory,
        top_k: int | None = None,
        read_top_k: TopKReadout = top_k_readout,
        cells: Tensor | None = None,
    ) -> Tensor:
        """The readout of the memory, then that of the previous frame: (B, K, L, 2 (Cv + 2)).

        The previous frame says nothing of where an object will come back that was hidden in it: the memory's
        readout then stands for both.
        """
        height, width = query.key.shape[2:]
        key = as_rows(query.key)
        if cells is not None:
            key = key[:, cells]
        far = self.read(key, memory, top_k, read_top_k)
        if memory.last is None:
            return torch.cat([far, far], dim=3)
        last = memory.last
        if top_k is None:
            near = readout(self._nearby(similarity(key, last.key), height, width), last.value)
        else:
            grid = grid_positions(height, width, query.key.device)
            positions = grid if last.positions is None else last.positions
            own = grid if last.query_positions is None else last.query_positions
            own = own if cells is None else own[cells]
            near = nearby_readout(key, last.key, last.value, own, positions, self.log_locality.exp())
        seen = last.value[..., -LABELS].amax(dim=-1) > SEEN
        near = torch.where(seen[..., None, None], near, far)
        return torch.cat([far, near], dim=3)

    def _nearby(self, similarities: Tensor, height: int, width: int) -> Tensor:
        """Similarities (B, h * w, h * w) less the squared distance in pixels, times a learned factor."""
        dy, dx = (squared_distances(n, similarities) for n in (height, width))
        distance = dy[:, None, :, None] + dx[None, :, None, :]
        grid = similarities.view(-1, height, width, height, width)
        return (grid - self.log_locality.exp() * distance).view_as(similarities)


def squared_distances(length: int, like: Tensor) -> Tensor:
    """Between all positions on a line: (length, length)."""
    positions = torch.arange(length, dtype=like.dtype, device=like.device)
    return (positions[:, None] - positions).square()


HOST = Host(LiteVOS, LITE)
