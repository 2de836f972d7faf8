"""A decoder of which only chosen cells are computed: gathered as small tiles, layer by layer, for all objects
at once. It does what `sparse.module_state.OnePolicyRun` defines."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from spvos_cli.model.cpu.winograd import winograd_tiles
from spvos_cli.model.decoder import Decoder, UpBlock
from spvos_cli.model.encoders import Query
from spvos_cli.model.layers import ResidualBlock
from spvos_cli.model.lite import LiteDecoder, LiteUpBlock
from spvos_cli.sparse.cells import CellFiller, Tiles
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.kernels.cpu import as_pixel_rows, weight_rows
from spvos_cli.sparse.module_gate import CELL
from spvos_cli.sparse.module_state import CERTAIN, ModuleState
from spvos_cli.sparse.policy import COMPUTE, SKIP

BATCH = 32  # tiles come in multiples of so many
PRODUCT = 2  # pixels of a tile's side up to which a product is faster


class Stage(NamedTuple):
    """What is computed at one stride: for objects, and for the frame where it is for any of them."""

    own: Tiles
    frame: Tiles


class CellStep:
    """One sparse step of any decoder, part by part.

    Args:
        state: changed in place.
        policy: (K, h, w) uint8. Skipped values are written at once.

    Attributes:
        cells: (N, 3), object, row and column of those that are computed.
        frame_cells: likewise of those that are for any object, with 0 for the object.
    """

    def __init__(self, state: ModuleState, policy: Tensor) -> None:
        self.state, self.policy = state, policy
        write_skips(state, policy)
        self.cells = filled_up((policy == COMPUTE).nonzero())
        self.frame_cells = self.cells
        if len(policy) > 1:
            self.frame_cells = filled_up((policy.amax(dim=0, keepdim=True) == COMPUTE).nonzero())

    def _stage(self, side: int) -> Stage:
        grid = self.policy.shape[1], self.policy.shape[2]
        own = Tiles.of(self.cells, grid, side)
        return Stage(own, own if self.frame_cells is self.cells else Tiles.of(self.frame_cells, grid, side))

    def _compute(self, conv: SparseConv2d, tiles: Tiles, x: Tensor) -> Tensor:
        """One layer, from (N, side + 2, side + 2, Cin); (N * side^2, Cout), which is kept."""
        pixels = convolve_tiles(conv, x)
        pixels = pixels.relu_() if conv.relu else pixels
        tiles.scatter(pixels, self.state.outputs[conv])
        return pixels

    def _compute_block(self, block: ResidualBlock, stage: Stage, x: Tensor) -> None:
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
        labels: Tensor | None = None,
    ) -> Tensor:
        """From tiles at twice the stride, and lite's labels in the readout; gives the tiles that go into the
        block."""
        outputs = self.state.outputs
        self._compute(up.skip, stage.frame, stage.frame.gather(features))
        x = finer_tiles(coarse, 2, 1).add_(stage.own.gather(outputs[up.skip], replicate=True))
        if up.labels is not None and labels is not None:
            self._compute(up.labels, stage.own, stage.own.without_outside(finer_tiles(labels, 2, 1)))
            x += stage.own.gather(outputs[up.labels], replicate=True)
        self._compute_block(up.block, stage, stage.own.without_outside(x))
        return x

    def _write_logits(self, predict: SparseConv2d) -> None:
        predicted = self.state.outputs[predict]
        factor = round(predicted.shape[1] ** 0.5)
        fine = F.pixel_shuffle(predicted.float(), factor).contiguous()
        (height, width), side = self.policy.shape[1:], 4 * factor
        tiles = Tiles.of(self.cells, (height, width), side).gather(fine, replicate=True)
        image, y, x = self.cells.unbind(1)
        by_cell = self.state.logits.view(-1, height, CELL, width, CELL).transpose(2, 3)
        by_cell[image, y, x] = finer_tiles(tiles, CELL // side, 0)[..., 0]


class CellDecoder(CellStep):
    """One sparse step of the decoder of lite and spvos.

    Args:
        decoder: prepared for inference.
        state: changed in place.
        policy: (K, h, w) uint8. Skipped values are written at once.
    """

    def __init__(self, decoder: Decoder | LiteDecoder, state: ModuleState, policy: Tensor) -> None:
        super().__init__(state, policy)
        self.decoder = decoder

    def step(self, readout: Tensor, query: Query, hidden: Tensor | None) -> None:
        """readout: (N, C), of `cells`; these decoders carry nothing hidden."""
        decoder, kept = self.decoder, self.state.readout
        at16, at8, at4 = self._stage(1), self._stage(2), self._stage(4)
        at16.own.scatter(readout.contiguous(), kept)
        x = torch.cat([at16.own.gather(kept), at16.own.gather(query.value)], dim=3)
        self._compute_block(decoder.compress, at16, x)
        x = self._block_output(decoder.compress, at16, None)
        labels = None
        if isinstance(decoder, LiteDecoder):
            rows = at16.own.gather(kept, replicate=True).permute(0, 3, 1, 2)
            labels = decoder.labels_in(rows).permute(0, 2, 3, 1)
        x = self._compute_up(decoder.up8, at8, x, query.f8, labels)
        x = self._block_output(decoder.up8.block, at8, None)
        x = self._compute_up(decoder.up4, at4, x, query.f4)
        x = self._block_output(decoder.up4.block, at4, x)
        self._compute(decoder.predict, at4.own, x.relu_())
        self._write_logits(decoder.predict)


def filled_up(cells: Tensor) -> Tensor:
    """(N, 3) with the last cell repeated, which changes nothing, so that there are few different N: libraries
    prepare for every new one."""
    missing = -len(cells) % BATCH
    return torch.cat([cells, cells[-1:].expand(missing, -1)]) if len(cells) and missing else cells


def convolve_tiles(conv: SparseConv2d, x: Tensor) -> Tensor:
    """(N, side + 2, side + 2, Cin) -> (N * side^2, Cout).

    In float32 by Winograd's algorithm where that pays; otherwise small tiles as one product of their
    neighbourhoods: convolutions of many small images are slow.
    """
    side, channels = x.shape[1] - 2, x.shape[3]
    if conv.kernel_size == (1, 1):
        return F.linear(x[:, 1:-1, 1:-1].reshape(-1, channels), weight_rows(conv), conv.bias)
    weight = conv.tile_weight(side + 2)
    if weight is not None:
        result = winograd_tiles(x, weight)
        return result if conv.bias is None else result.add_(conv.bias)
    if side > PRODUCT:
        result = F.conv2d(x.permute(0, 3, 1, 2), conv.weight, conv.bias)
        return as_pixel_rows(result.contiguous(memory_format=torch.channels_last))
    row, image = (side + 2) * channels, (side + 2) ** 2 * channels
    windows = (len(x), side, side, 3, 3 * channels), (image, row, channels, row, 1)
    neighbourhoods = x.contiguous().as_strided(*windows).reshape(-1, 9 * channels)
    return F.linear(neighbourhoods, weight_rows(conv), conv.bias)


def finer_tiles(tiles: Tensor, factor: int, border: int) -> Tensor:
    """Upsamples tiles, as products with all of their pixels, or with their lines where they have one channel.

    Args:
        tiles: (N, side + 2, side + 2, C).
        border: pixels about the cells that are wanted.

    Returns:
        (N, factor * side + 2 * border, the same, C)
    """
    edge, channels = tiles.shape[1], tiles.shape[3]
    cut = factor - border
    line = F.interpolate(torch.eye(edge).unsqueeze(0), scale_factor=factor, mode="linear")[0].T[cut:-cut]
    line = line.to(tiles)
    if channels == 1:
        rows = F.linear(tiles.view(-1, edge, edge), line)
        return F.linear(rows.transpose(1, 2), line).transpose(1, 2).unsqueeze(3)
    square = torch.kron(line, line)
    fine = torch.matmul(square, tiles.reshape(-1, edge * edge, channels))
    return fine.view(-1, len(line), len(line), channels)


def write_skips(state: ModuleState, policy: Tensor) -> None:
    """Writes skipped values as far as they are looked at: to the logits, and to what is kept beside cells
    that are computed. The rest of them are noted, and written when something beside them is computed."""
    newly = (policy == SKIP) & (state.policy != SKIP)
    cells = state.logits.unflatten(1, (-1, CELL)).unflatten(3, (-1, CELL))
    cells.masked_fill_(newly[:, :, None, :, None], CERTAIN)
    own, state.blank = _due(state.blank, policy)
    frame, state.frame_blank = _due(state.frame_blank, policy.amax(dim=0, keepdim=True))
    own_filler, frame_filler = CellFiller(own), CellFiller(frame)
    own_filler.fill(state.readout, state.readout.new_zeros(state.readout.shape[1]))
    for conv, output in state.outputs.items():
        (frame_filler if conv.per_frame else own_filler).fill(output, conv.skipped())


def _due(blank: Tensor, policy: Tensor) -> tuple[Tensor, Tensor]:
    """Cells whose skipped values are to be written now, and those for later: (K, h, w) bool."""
    computed = policy == COMPUTE
    blank = (blank | (policy == SKIP)) & ~computed
    near = F.max_pool2d(computed.float(), 3, stride=1, padding=1) > 0
    return blank & near, blank & ~near
