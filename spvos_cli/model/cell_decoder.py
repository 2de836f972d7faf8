"""A decoder of which only chosen cells are computed: gathered as small tiles, layer by layer, for all objects
at once. It does what `sparse.module_state.OnePolicyRun` defines."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from spvos_cli.model.decoder import Decoder, UpBlock
from spvos_cli.model.encoders import Query
from spvos_cli.model.layers import ResidualBlock, upsample
from spvos_cli.model.lite import LiteDecoder, LiteUpBlock
from spvos_cli.sparse.cells import Tiles, fill_cells
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.kernels.cpu import weight_rows
from spvos_cli.sparse.module_gate import CELL
from spvos_cli.sparse.module_state import CERTAIN, ModuleState
from spvos_cli.sparse.policy import COMPUTE, SKIP

PRODUCT = 2  # pixels of a tile's side up to which a product is faster


class Stage(NamedTuple):
    """What is computed at one stride: for objects, and for the frame where it is for any of them."""

    own: Tiles
    frame: Tiles


class CellDecoder:
    """One sparse step of a decoder.

    Args:
        decoder: prepared for inference.
        state: changed in place.
        policy: (K, h, w) uint8. Skipped values are written at once.
    """

    def __init__(self, decoder: Decoder | LiteDecoder, state: ModuleState, policy: Tensor) -> None:
        self.decoder, self.state, self.policy = decoder, state, policy
        write_skips(state, policy)
        self.cells = (policy == COMPUTE).nonzero()
        self.frame_cells = self.cells if len(policy) == 1 else (policy.amax(0, True) == COMPUTE).nonzero()

    def step(self, readout: Tensor, query: Query) -> None:
        """readout: (N, C), of the computed cells, object by object and line by line."""
        decoder, kept = self.decoder, self.state.readout
        at16, at8, at4 = self._stage(1), self._stage(2), self._stage(4)
        at16.own.scatter(readout[:, :, None, None], kept)
        x = at16.own.gather(kept)
        self._compute_block(decoder.compress, at16, x, at16.own.gather(query.value))
        x = self._block_output(decoder.compress, at16, None)
        labels = at16.own.gather(kept, replicate=True)
        x = self._compute_up(decoder.up8, at8, x, query.f8, labels)
        x = self._block_output(decoder.up8.block, at8, None)
        x = self._compute_up(decoder.up4, at4, x, query.f4, None)
        x = self._block_output(decoder.up4.block, at4, x)
        self._compute(decoder.predict, at4.own, x.relu_())
        self._write_logits()

    def _stage(self, side: int) -> Stage:
        grid = self.policy.shape[1], self.policy.shape[2]
        own = Tiles.of(self.cells, grid, side)
        return Stage(own, own if self.frame_cells is self.cells else Tiles.of(self.frame_cells, grid, side))

    def _compute(self, conv: SparseConv2d, tiles: Tiles, x: Tensor) -> None:
        """One layer, from (N, Cin, side + 2, side + 2)."""
        result = convolve_tiles(conv, x)
        tiles.scatter(result.relu_() if conv.relu else result, self.state.outputs[conv])

    def _compute_block(self, block: ResidualBlock, stage: Stage, x: Tensor, shared: Tensor | None) -> None:
        if shared is not None:
            x = torch.cat([x, shared], dim=1)
        if block.shortcut is not None:
            self._compute(block.shortcut, stage.own, x)
        self._compute(block.conv1, stage.own, x.relu())
        self._compute(block.conv2, stage.own, stage.own.gather(self.state.outputs[block.conv1]))

    def _block_output(self, block: ResidualBlock, stage: Stage, x: Tensor | None) -> Tensor:
        """Tiles of a block's sum; where its input x is given, 0 outside, otherwise the nearest pixels."""
        branch = stage.own.gather(self.state.outputs[block.conv2], replicate=x is None)
        if block.shortcut is None:
            assert x is not None
            return branch.add_(x)
        return branch.add_(stage.own.gather(self.state.outputs[block.shortcut], replicate=x is None))

    def _compute_up(
        self,
        up: UpBlock | LiteUpBlock,
        stage: Stage,
        coarse: Tensor,
        features: Tensor,
        readout: Tensor | None,
    ) -> Tensor:
        """From tiles at twice the stride; gives the tiles that go into the block."""
        outputs = self.state.outputs
        self._compute(up.skip, stage.frame, stage.frame.gather(features))
        x = _finer(coarse).add_(stage.own.gather(outputs[up.skip], replicate=True))
        if up.labels is not None and readout is not None:
            assert isinstance(self.decoder, LiteDecoder)
            labels = stage.own.without_outside(_finer(self.decoder.labels_in(readout)))
            self._compute(up.labels, stage.own, labels)
            x += stage.own.gather(outputs[up.labels], replicate=True)
        x = stage.own.without_outside(x)
        self._compute_block(up.block, stage, x, None)
        return x

    def _write_logits(self) -> None:
        predicted = self.state.outputs[self.decoder.predict]
        factor = round(predicted.shape[1] ** 0.5)
        fine = F.pixel_shuffle(predicted, factor)
        grid, side = (self.policy.shape[1], self.policy.shape[2]), 4 * factor
        scale = CELL // side
        tiles = Tiles.of(self.cells, grid, side).gather(fine.contiguous(), replicate=True)
        values = upsample(tiles, scale)[:, 0, scale:-scale, scale:-scale]
        image, y, x = self.cells.unbind(1)
        by_cell = self.state.logits.view(-1, grid[0], CELL, grid[1], CELL).transpose(2, 3)
        by_cell[image, y, x] = values.float()


def convolve_tiles(conv: SparseConv2d, x: Tensor) -> Tensor:
    """(N, Cin, side + 2, side + 2), channels last -> (N, Cout, side, side).

    Small tiles as one product of their neighbourhoods: convolutions of many small images are slow.
    """
    side, channels = x.shape[2] - 2, x.shape[1]
    if conv.kernel_size == (1, 1):
        rows = x[:, :, 1:-1, 1:-1].permute(0, 2, 3, 1).reshape(-1, channels)
    elif side > PRODUCT:
        return F.conv2d(x, conv.weight, conv.bias)
    else:
        row, image = (side + 2) * channels, (side + 2) ** 2 * channels
        windows = (len(x), side, side, 3, 3 * channels), (image, row, channels, row, 1)
        rows = x.permute(0, 2, 3, 1).contiguous().as_strided(*windows).reshape(-1, 9 * channels)
    result = F.linear(rows, weight_rows(conv), conv.bias)
    return result.view(len(x), side, side, -1).permute(0, 3, 1, 2)


def _finer(tiles: Tensor) -> Tensor:
    """Tiles with a border of one pixel -> twice as fine, with a border of one pixel."""
    return upsample(tiles, 2)[:, :, 1:-1, 1:-1].contiguous(memory_format=torch.channels_last)


def write_skips(state: ModuleState, policy: Tensor) -> None:
    """Writes skipped values as far as they are looked at: to the logits, and to what is kept beside cells
    that are computed. The rest of them are noted, and written when something beside them is computed."""
    newly = (policy == SKIP) & (state.policy != SKIP)
    cells = state.logits.unflatten(1, (-1, CELL)).unflatten(3, (-1, CELL))
    cells.masked_fill_(newly[:, :, None, :, None], CERTAIN)
    own, state.blank = _due(state.blank, policy)
    frame, state.frame_blank = _due(state.frame_blank, policy.amax(dim=0, keepdim=True))
    if own.any():
        fill_cells(state.readout, own, 0.0)
    for conv, output in state.outputs.items():
        due = frame if conv.per_frame else own
        if due.any():
            fill_cells(output, due, conv.skipped())


def _due(blank: Tensor, policy: Tensor) -> tuple[Tensor, Tensor]:
    """Cells whose skipped values are to be written now, and those for later: (K, h, w) bool."""
    computed = policy == COMPUTE
    blank = (blank | (policy == SKIP)) & ~computed
    near = F.max_pool2d(computed.float(), 3, stride=1, padding=1) > 0
    return blank & near, blank & ~near
