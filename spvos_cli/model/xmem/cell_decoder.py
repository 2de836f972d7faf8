"""XMem's decoder of which only chosen cells are computed; as `model.cell_decoder`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from spvos_cli.model.cell_decoder import CellStep, Stage
from spvos_cli.model.encoders import Query
from spvos_cli.model.layers import ResidualBlock
from spvos_cli.model.xmem.hidden import renewed
from spvos_cli.model.xmem.network import XMemDecoder
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.module_state import ModuleState


class CellDecoder(CellStep):
    """One sparse step of XMem's decoder. Its attention, which looks at whole maps, is computed as a whole.

    Args:
        decoder: prepared for inference.
        state: changed in place.
        policy: (K, h, w) uint8. Skipped values are written at once.
    """

    def __init__(self, decoder: XMemDecoder, state: ModuleState, policy: Tensor) -> None:
        super().__init__(state, policy)
        self.decoder = decoder

    def step(self, readout: Tensor, query: Query, hidden: Tensor) -> Tensor:
        """The objects' hidden states, new in `cells`.

        Args:
            readout: (N, C), of `cells`.
            hidden: (K, Ch, h, w) float32, before the frame.
        """
        decoder, kept = self.decoder, self.state.readout
        at16, at8, at4 = self._stage(1), self._stage(2), self._stage(4)
        at16.own.scatter(readout.contiguous(), kept)
        before = hidden.to(kept.dtype).contiguous(memory_format=torch.channels_last)
        tiles = [at16.own.gather(x) for x in (kept, before, query.value)]
        self._compute_block(decoder.fuser.block1, at16, torch.cat(tiles, dim=3))
        whole = self._block_map(decoder.fuser.block1)
        whole = (whole + decoder.fuser.attention(whole)).contiguous(memory_format=torch.channels_last)
        self._compute_block(decoder.fuser.block2, at16, at16.own.gather(whole))
        branch = self.state.outputs[decoder.fuser.block2.conv2]
        x16 = at16.own.gather(branch, replicate=True).add_(at16.own.gather(whole, replicate=True))
        x = self._compute_up(decoder.up8, at8, x16, query.f8)
        x8 = self._block_output(decoder.up8.block, at8, None)
        x = self._compute_up(decoder.up4, at4, x8, query.f4)
        x4 = self._block_output(decoder.up4.block, at4, x)
        self._compute(decoder.predict, at4.own, x4.relu())
        self._write_logits(decoder.predict)
        x4 = torch.cat([x4, at4.own.gather(self.state.outputs[decoder.predict])], dim=3)
        return self._updated_hidden(at16, (x16, x8, x4), before, hidden)

    def _block_map(self, block: ResidualBlock) -> Tensor:
        """A block's output everywhere, with skipped values that are not written yet."""
        assert block.shortcut is not None
        return self._kept(block.shortcut) + self._kept(block.conv2)

    def _kept(self, conv: SparseConv2d) -> Tensor:
        """What is kept of a layer at stride 16."""
        output = self.state.outputs[conv]
        return torch.where(self.state.blank[:, None], conv.skipped()[:, None, None].to(output), output)

    def _updated_hidden(
        self, at16: Stage, features: tuple[Tensor, Tensor, Tensor], before: Tensor, hidden: Tensor
    ) -> Tensor:
        """From tiles at strides 16, 8 and 4."""
        update, outputs = self.decoder.hidden_update, self.state.outputs
        convolutions = update.g16, update.g8, update.g4
        for conv, x in zip(convolutions, features, strict=True):
            cells = x[:, 1:-1, 1:-1].float().mean(dim=(1, 2), keepdim=True).to(x.dtype)
            self._compute(conv, at16.own, F.pad(cells, (0, 0, 1, 1, 1, 1)))
        means = [at16.own.gather(outputs[conv]) for conv in convolutions]
        joined = torch.cat([sum(means[1:], means[0]), at16.own.gather(before)], dim=3)
        transform = update.state.transform
        assert isinstance(transform, SparseConv2d)
        values, cells = self._compute(transform, at16.own, joined), at16.own.inner
        old = hidden.permute(0, 2, 3, 1).reshape(-1, hidden.shape[1])
        new = old.index_copy(0, cells, renewed(old[cells], values))
        return new.view(len(hidden), *hidden.shape[2:], -1).permute(0, 3, 1, 2)
