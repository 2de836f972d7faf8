"""Test time: what a stream keeps of its gated convolutions, and the choice between a dense and a sparse
step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from spvos_cli.sparse.conv import LayerRunner, SparseConv2d
from spvos_cli.sparse.gate_base import Given, Override, as_chosen
from spvos_cli.sparse.kernels.kernel import Kernel
from spvos_cli.sparse.layer_state import LayerState

Inject = Callable[[SparseConv2d, Tensor], Tensor]


@runtime_checkable
class Prescribed(Protocol):
    """An `Inject` that does not look at what gates chose."""

    def policy_of(self, conv: SparseConv2d, like: Tensor) -> Tensor | None:
        """For a layer, in the shape of a policy and where that lies; None: what its gate chooses."""


class ModuleRunner(LayerRunner, Protocol):
    """The gated convolutions of one module in one stream, frame after frame.

    Attributes:
        policies: of every layer that ran sparsely in the last frame: (B, H, W) uint8.
    """

    policies: dict[SparseConv2d, Tensor]

    def begin(self, ids: Sequence[int] = (0,), *, sparse: bool) -> None:
        """Before the module runs on the next frame.

        Args:
            ids: the objects of this frame, a row each; what is known of those that were there before stays
                theirs.
            sparse: whether gates decide; otherwise everything is computed, and kept for the frame after.
        """

    def remove(self, ids: Collection[int]) -> None:
        """Objects leave, and what is kept of them goes: whoever gets such an id later begins with nothing."""


class InferenceRun:
    """The `ModuleRunner` of test time.

    Args:
        kernel: the backend.
        inject: replaces the policies (B, H, W) uint8 that a layer's gate chose, for measurements and
            comparisons.

    Attributes:
        kernel, inject: as given; they may be replaced between two frames.
        states: what is kept of each layer.
        policies: of every layer that ran sparsely since `begin`: (B, H, W) uint8, until it runs again.
        sparse: whether gates decide in this frame.
    """

    def __init__(self, kernel: Kernel, inject: Inject | None = None) -> None:
        self.kernel, self.inject = kernel, inject
        self.states: dict[SparseConv2d, LayerState] = {}
        self.policies: dict[SparseConv2d, Tensor] = {}
        self.sparse = False
        self._ids: list[int] = []

    def begin(self, ids: Sequence[int] = (0,), *, sparse: bool) -> None:
        """As in `ModuleRunner`."""
        self.sparse, self.policies = sparse, {}
        for state in self.states.values():
            state.is_new = None
        if self._ids != list(ids):
            indices = torch.tensor([self._ids.index(i) if i in self._ids else -1 for i in ids])
            for conv, state in self.states.items():
                if not conv.per_frame:
                    self.states[conv] = state.rows(indices.to(state.output.device))
            self._ids = list(ids)

    def remove(self, ids: Collection[int]) -> None:
        """As in `ModuleRunner`; without objects nothing at all is kept."""
        rows = [row for row, i in enumerate(self._ids) if i not in ids]
        self._ids = [self._ids[row] for row in rows]
        indices = torch.tensor(rows)
        self.states = {
            conv: state if conv.per_frame else state.rows(indices.to(state.output.device))
            for conv, state in self.states.items()
            if rows
        }

    def convolve(self, conv: SparseConv2d, x: Tensor, shared: Tensor | None) -> Tensor:
        """One layer; without a t-1, or one of another size, it runs densely."""
        gate, state = conv.gate, self.states.get(conv)
        assert gate is not None
        if state is not None and state.size != x.shape[2:]:
            state = None
        if not self.sparse or (gate.needs_previous and state is None):
            output, self.states[conv] = gate.dense_step(conv, x, shared)
            return output
        if state is None:
            state = self.states[conv] = LayerState.blank(conv, x)
        output = gate.sparse_step(conv, x, shared, state, self.kernel, self._override(conv, state))
        self.policies[conv] = state.policy
        return output

    def _override(self, conv: SparseConv2d, state: LayerState) -> Override:
        if self.inject is None:
            return as_chosen
        if not isinstance(self.inject, Prescribed):
            return partial(self.inject, conv)
        policy = self.inject.policy_of(conv, state.policy)
        return as_chosen if policy is None else Given(policy)
