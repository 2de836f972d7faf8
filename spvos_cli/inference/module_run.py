"""The gate of a whole module in a stream: what it decides, and what it leaves of matching and decoding."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from typing import NamedTuple

import torch
from torch import Tensor

from spvos_cli.inference.previous_frame import PreviousFrame
from spvos_cli.inference.region import CELL, Window
from spvos_cli.inference.sight import Sight
from spvos_cli.model.encoders import Query
from spvos_cli.model.matching import as_map
from spvos_cli.model.network import VOSNetwork
from spvos_cli.sparse.conv import LayerRunner, SparseConv2d
from spvos_cli.sparse.kernels.kernel import Kernel, ModuleKernel
from spvos_cli.sparse.kernels.reference import REFERENCE
from spvos_cli.sparse.module_gate import GateView
from spvos_cli.sparse.module_state import (
    ListedRun,
    ModuleState,
    OnePolicyRun,
    Outputs,
    shifted,
    updated_cells,
    updated_logits,
)
from spvos_cli.sparse.policy import COMPUTE, REUSE, argmax_policy, of_pixels

MatchRows = Callable[[Tensor | None], Tensor]  # cells (L,) line by line, None for all -> readout (K, L, C)
Override = Callable[[Tensor], Tensor]  # (K, h, w) policies that the gate chose -> those that hold


class Place(NamedTuple):
    """Where a frame is looked at: a window, and height and width of the padded frame, in pixels."""

    window: Window
    size: tuple[int, int]

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the window in cells."""
        return self.window.height // CELL, self.window.width // CELL


class EncodedFrame(NamedTuple):
    """What a frame brings to all that follows the query encoder.

    Attributes:
        query: of the frame, as far as it is looked at.
        place: where that is.
        previous: the frame before, with the same objects.
        match: reads the memory, for all cells or for some.
        hidden: (K, Ch, h, w) float32, the objects' hidden states before it; None: zero, or the network
            carries none.
        memory_frame: whether the memory encoder makes the hidden states after it.
    """

    query: Query
    place: Place
    previous: PreviousFrame | None
    match: MatchRows
    hidden: Tensor | None = None
    memory_frame: bool = False


class ModuleRun:
    """All that follows the query encoder, for the objects of one stream, frame after frame.

    Args:
        network: with a module's gate.
        override: replaces the policies that the gate chose, for measurements and comparisons. Cells that
            nothing is known of are computed whatever it says.
        kernel: where it is a `ModuleKernel`, convolutions compute what it lists; then the host does not wait
            for a device, and what is kept stays where it is in memory as long as the objects are the same and
            the frames of one size.
        by_definition: whether matching and decoder run densely and their results are then chosen from, cell
            by cell; otherwise, on a CPU without such a kernel, only what is to be computed runs.

    An object that goes or comes is computed everywhere, and nothing of a small one is reused: an error of a
    cell is a large part of it, and stays.

    Attributes:
        state: what is kept; None: nothing.
        sight: of the objects.
        policy: (K, h, w) uint8, of the last frame, where the gate decided about it.
        policies: the same for the pixels of each convolution.
    """

    def __init__(
        self,
        network: VOSNetwork,
        override: Override | None = None,
        kernel: Kernel = REFERENCE,
        *,
        by_definition: bool = False,
    ) -> None:
        self.network, self.override = network, override
        self.kernel = kernel if isinstance(kernel, ModuleKernel) and not by_definition else None
        on_cells = self.kernel is None and network.device.type == "cpu" and bool(network.on_cells)
        self.on_cells = on_cells and not by_definition
        self.state: ModuleState | None = None
        self.sight = Sight()
        self.policy: Tensor | None = None
        self.policies: dict[SparseConv2d, Tensor] = {}
        self._place: Place | None = None
        self._sparse = False

    def begin(self, ids: Sequence[int] = (0,), *, sparse: bool) -> None:
        """Before the next frame: its objects, a row each, and whether the gate decides about it."""
        self._sparse, self.policy, self.policies = sparse, None, {}
        before = self.sight.ids
        if before != list(ids) and self.state is not None:
            self.state = self.state.rows([before.index(i) if i in before else -1 for i in ids])
        self.sight.follow(ids)

    def remove(self, ids: Collection[int]) -> None:
        """Objects leave, or get a mask that the network did not make: what is kept of them goes."""
        rows = [row for row, i in enumerate(self.sight.ids) if i not in ids]
        self.sight.remove(ids)
        if self.state is not None:
            self.state = self.state.rows(rows) if rows else None

    def decode(self, frame: EncodedFrame) -> tuple[Tensor, Tensor | None]:
        """Logits (K, H, W), float32, of the objects that `begin` was told of, and their hidden states after
        the frame: where it was computed new ones, where it was reused those before, and zeros where it was
        skipped; on a memory frame those before."""
        self._move(frame.place)
        if frame.hidden is None and self.network.carries_hidden:
            shape = len(self.sight.ids), self.network.config.hidden_channels, *frame.place.grid
            frame = frame._replace(hidden=torch.zeros(shape, device=frame.query.key.device))
        state, previous = self.state, frame.previous
        if previous is None or previous.size != frame.place.size:
            return self._dense(frame)
        lost = self.sight.lost(previous.masks)
        if not self._sparse or state is None:
            return self._dense(frame)
        policy = self._decide(state, frame.query, frame.place, previous, lost)
        self.policy = policy
        self.policies = policies_by_convolution(state.outputs, policy)
        if not self.on_cells:
            hidden = self._under_policy(state, policy, frame)
        elif bool((policy == COMPUTE).all()):
            _, hidden = self._dense(frame)
        else:
            hidden = self._cells(state, policy, frame)
        assert self.state is not None
        self.state.decided(policy)
        return self.state.logits, hidden

    def choose(self, view: GateView) -> Tensor:
        """What the gate decides: (K, h, w) uint8."""
        assert self.network.gate is not None
        return argmax_policy(self.network.gate(view))

    def convolve(self, conv: SparseConv2d, x: Tensor, shared: Tensor | None) -> Tensor:
        """Of a decoder that is run by itself: densely."""
        return conv.dense(x, shared)

    def _move(self, place: Place) -> None:
        """What is kept comes to lie as the frame is looked at."""
        before, self._place = self._place, place
        if self.state is None or before is None or before == place:
            return
        if before.size != place.size:
            self.state = None
        else:
            self.state = self.state.moved(*cells_between(before.window, place.window), *place.grid)

    def _decide(
        self, state: ModuleState, query: Query, place: Place, previous: PreviousFrame, lost: Tensor
    ) -> Tensor:
        key, masks = previous.query.key, previous.masks
        if previous.window != place.window:
            where = *cells_between(previous.window, place.window), place.grid
            key, masks = shifted(key, *where, 1), shifted(masks, *where, CELL)
        policy = self.choose(GateView(query.key, key, masks, state.policy, state.age))
        redone = lost[:, None, None] | (self.sight.small[:, None, None] & (policy == REUSE))
        policy = policy.masked_fill(redone, COMPUTE)
        if self.override is not None:
            policy = self.override(policy)
        return policy.masked_fill(~state.known, COMPUTE)

    def _dense(self, frame: EncodedFrame) -> tuple[Tensor, Tensor | None]:
        readout = channels_last(as_map(frame.match(None), *frame.query.key.shape[2:]))
        outputs: Outputs = {}
        logits, hidden = self._decoded(readout, frame, OnePolicyRun(outputs))
        state = ModuleState.dense(readout, outputs, logits.float().clone())
        if self.kernel is None or self.state is None or not self.state.renew(state):
            self.state = state
        return self.state.logits, hidden

    def _under_policy(self, state: ModuleState, policy: Tensor, frame: EncodedFrame) -> Tensor | None:
        """All is matched; layers run on what is listed, or by definition densely."""
        readout = as_map(frame.match(None), *frame.query.key.shape[2:])
        state.readout.copy_(updated_cells(state.readout, readout, policy))
        run: LayerRunner = OnePolicyRun(state.outputs, policy)
        if self.kernel is not None:
            run = ListedRun(self.kernel, state, policy)
        logits, hidden = self._decoded(state.readout, frame, run)
        state.logits.copy_(updated_logits(state, logits.float(), policy))
        return hidden_after(frame, hidden, policy)

    def _cells(self, state: ModuleState, policy: Tensor, frame: EncodedFrame) -> Tensor | None:
        step = import_module(self.network.on_cells).CellDecoder(self.network.decoder, state, policy)
        hidden = frame.hidden
        if len(step.cells):
            image, y, x = step.cells.unbind(1)
            matched, places = (y * policy.shape[2] + x).unique(return_inverse=True)
            hidden = step.step(frame.match(matched)[image, places], frame.query, hidden)
        return hidden_after(frame, hidden, policy)

    def _decoded(
        self, readout: Tensor, frame: EncodedFrame, run: LayerRunner
    ) -> tuple[Tensor, Tensor | None]:
        """Logits (K, H, W), and the hidden states that the network makes."""
        logits, hidden = self.network.decode_step(
            readout.unsqueeze(0), frame.query, frame.hidden, run, memory_frame=frame.memory_frame
        )
        return logits[0], hidden


def hidden_after(frame: EncodedFrame, new: Tensor | None, policy: Tensor) -> Tensor | None:
    """The objects' hidden states after a frame under the policy, of which `new` holds where it computes."""
    if frame.hidden is None or new is None or frame.memory_frame:
        return frame.hidden
    return updated_cells(frame.hidden, new, policy)


def cells_between(one: Window, other: Window) -> tuple[int, int]:
    """How many cells further down and right the other window lies."""
    return (other.top - one.top) // CELL, (other.left - one.left) // CELL


def policies_by_convolution(outputs: Outputs, policy: Tensor) -> dict[SparseConv2d, Tensor]:
    """The policy of the pixels of each convolution's output, (K or 1, H, W); `policy` is of cells."""
    scales = {output.shape[2] // policy.shape[1] for output in outputs.values()}
    own = {scale: of_pixels(policy, scale) for scale in scales}
    frame = {scale: of_pixels(policy.amax(dim=0, keepdim=True), scale) for scale in scales}
    return {
        conv: (frame if conv.per_frame else own)[output.shape[2] // policy.shape[1]]
        for conv, output in outputs.items()
    }


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
