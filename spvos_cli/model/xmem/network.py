"""XMem (Cheng and Schwing, ECCV 2022; arXiv:2207.07115), the network of the paper's Table VI.

Beside STCN it has a hidden state for each object, which the decoder updates on every frame and the memory
encoder on memory frames, and keys with a shrinkage (memory) and a selection (query).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spvos_cli.model.config import ModelConfig
from spvos_cli.model.decoder import UpBlock
from spvos_cli.model.encoders import Fuser, Query
from spvos_cli.model.layers import sum_of_others, upsample
from spvos_cli.model.matching import TopKReadout, product_readout, readout
from spvos_cli.model.network import RESNETS, Memory, VOSNetwork
from spvos_cli.model.resnet import BasicBlock, Bottleneck, ResNet
from spvos_cli.model.xmem.hidden import HiddenState, HiddenUpdate
from spvos_cli.model.xmem.matching import KeyParts, similarity, similarity_factors
from spvos_cli.sparse.conv import LayerRunner, SparseConv2d
from spvos_cli.sparse.conv_unit import repeat_rows

XMEM = ModelConfig(architecture="xmem", hidden_channels=64, top_k=30, max_memory=9, long_memory=10_000)


class XMemQueryEncoder(nn.Module):
    """ResNet-50 through layer3 with three 3x3 heads on f16."""

    def __init__(self, key_channels: int) -> None:
        super().__init__()
        self.trunk = ResNet(Bottleneck, (3, 4, 6))
        self.key = SparseConv2d(1024, key_channels, 3, role="other")
        self.shrinkage = SparseConv2d(1024, 1, 3, role="other")
        self.selection = SparseConv2d(1024, key_channels, 3, role="other")

    def forward(self, image: Tensor, run: LayerRunner | None = None) -> Query:
        """image: (B, 3, H, W), normalised, H and W multiples of 16. Keys have the parts of `KeyParts`; what
        the decoder gets beside the readout is f16 itself."""
        f4, f8, f16 = self.trunk(image, run)
        shrinkage = self.shrinkage(f16, run).square() + 1
        selection = self.selection(f16, run).sigmoid()
        return Query(torch.cat([self.key(f16, run), shrinkage, selection], dim=1), f16, f16, f8, f4)


class XMemMemoryEncoder(nn.Module):
    """ResNet-18 on frame and masks, the fuser, and the deep update of the hidden state."""

    def __init__(self, value_channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.trunk = ResNet(BasicBlock, (2, 2, 2), in_channels=5)
        self.fuser = Fuser(256 + 1024, value_channels)
        self.hidden_update = HiddenState(value_channels, hidden_channels, gated=False)

    def forward(
        self, image: Tensor, query: Query, masks: Tensor, hidden: Tensor, run: LayerRunner | None = None
    ) -> tuple[Tensor, Tensor]:
        """image: (B, 3, H, W), masks: (B, K, H, W), hidden: (B * K, Ch, h, w) -> values (B, K, Cv, h, w),
        hidden."""
        labels = torch.stack([masks, sum_of_others(masks)], dim=2).flatten(0, 1)
        _, _, objects16 = self.trunk(torch.cat([repeat_rows(image, len(labels)), labels], dim=1), run)
        values = self.fuser(objects16, query.f16, run)
        return values.unflatten(0, masks.shape[:2]), self.hidden_update(values, hidden)


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
        self,
        readout: Tensor,
        query: Query,
        hidden: Tensor,
        run: LayerRunner | None = None,
        *,
        updates: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """readout: (B, K, Cv, h, w), hidden: (B * K, Ch, h, w) -> logits (B, K, H, W), hidden, as it was
        without `updates`."""
        rows = readout.flatten(0, 1)
        x16 = self.fuser(torch.cat([rows, hidden.to(rows.dtype)], dim=1), query.value, run)
        x8 = self.up8(x16, query.f8, run)
        x4 = self.up4(x8, query.f4, run)
        logits = self.predict(F.relu(x4), run)
        if updates:
            hidden = self.hidden_update(x16, x8, torch.cat([x4, logits], dim=1), hidden, run)
        return upsample(logits, 4).squeeze(1).unflatten(0, readout.shape[:2]), hidden


class XMem(VOSNetwork):
    """The three modules; 62.2 million parameters."""

    query_encoder: XMemQueryEncoder
    memory_encoder: XMemMemoryEncoder
    decoder: XMemDecoder
    resnets = RESNETS
    on_cells = "spvos_cli.model.xmem.cell_decoder"

    def __init__(self, config: ModelConfig = XMEM) -> None:
        super().__init__(config)
        self.query_encoder = XMemQueryEncoder(config.key_channels)
        self.memory_encoder = XMemMemoryEncoder(config.value_channels, config.hidden_channels)
        self.decoder = XMemDecoder(config.value_channels, config.hidden_channels, config.decoder_channels)

    @property
    def matched_channels(self) -> int:
        """As in `VOSNetwork`: the product's are those of `similarity_factors`."""
        return 2 * self.config.key_channels + 1

    def encode_memory(
        self, image: Tensor, query: Query, masks: Tensor, run: LayerRunner | None = None
    ) -> Tensor:
        """As in `VOSNetwork`, of objects without a hidden state."""
        return self.encode_memory_step(image, query, masks, None, run)[0]

    def encode_memory_step(
        self,
        image: Tensor,
        query: Query,
        masks: Tensor,
        hidden: Tensor | None,
        run: LayerRunner | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As in `VOSNetwork`; the deep update."""
        return self.memory_encoder(image, query, masks, self._hidden(hidden, query, masks), run)

    def decode(self, readout: Tensor, query: Query, run: LayerRunner | None = None) -> Tensor:
        """As in `VOSNetwork`, of objects without a hidden state."""
        return self.decode_step(readout, query, None, run)[0]

    def decode_step(
        self,
        readout: Tensor,
        query: Query,
        hidden: Tensor | None,
        run: LayerRunner | None = None,
        *,
        memory_frame: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """As in `VOSNetwork`. On a memory frame, whose hidden state the deep update makes, the decoder's own
        update runs for its gates alone: they know that frame afterwards."""
        updates = run is not None or not memory_frame
        hidden = self._hidden(hidden, query, readout)
        logits, updated = self.decoder(readout, query, hidden, run, updates=updates)
        return logits, hidden if memory_frame else updated

    def _hidden(self, hidden: Tensor | None, query: Query, objects: Tensor) -> Tensor:
        if hidden is not None:
            return hidden
        rows, channels = objects.shape[0] * objects.shape[1], self.config.hidden_channels
        return torch.zeros(rows, channels, *query.f16.shape[2:], device=query.f16.device)

    def read(self, query_key: Tensor, memory: Memory, top_k: int | None, read_top_k: TopKReadout) -> Tensor:
        """As in `VOSNetwork`, by XMem's own similarity; with `top_k` always as a GPU does it."""
        if top_k is None:
            return readout(similarity(query_key, memory.key), memory.value)
        query, keys = similarity_factors(query_key[0], memory.key[0])
        return product_readout(query, keys, query.shape[1] - 1, memory.value, top_k, memory.usage)

    def prototypes(self, key: Tensor, value: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """As in `VOSNetwork`; the shrinkage of prototypes is read as values are."""
        found = KeyParts.of(key[:, chosen])
        similarities = similarity(key[:, chosen], key)
        shrinkage = readout(similarities, KeyParts.of(key).shrinkage.unsqueeze(1))[:, 0]
        keys = torch.cat(found._replace(shrinkage=shrinkage), dim=-1).to(key.dtype)
        return keys, readout(similarities, value)
