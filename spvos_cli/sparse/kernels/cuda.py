"""The sparse convolution on an NVIDIA GPU: one launch lists the computed pixels and writes the skipped ones,
one convolves what is listed; for layers under one policy a list is made once, and each is one launch. The
host never waits for the device."""

from __future__ import annotations

import functools
from collections.abc import Hashable

import numpy as np
import torch
from torch import Tensor

from spvos_cli.sparse.conv_unit import ConvUnit
from spvos_cli.sparse.kernels.cuda_counts import Counts
from spvos_cli.sparse.kernels.cuda_launch import COMPACTION, ELEMENTS, Launcher, Program
from spvos_cli.sparse.kernels.cuda_layer import (
    CellList,
    Listed,
    Operands,
    channels_last,
    decision_parameters,
    layer_parameters,
    pointer,
    takes,
    takes_parts,
)
from spvos_cli.sparse.kernels.cuda_limits import default_limit
from spvos_cli.sparse.kernels.limits import Limits, limit_of
from spvos_cli.sparse.kernels.precision import tf32_allowed
from spvos_cli.sparse.kernels.reference import REFERENCE
from spvos_cli.sparse.layer_state import LayerState
from spvos_cli.sparse.policy import COMPUTE, of_pixels

TILE = 64  # pixels, and output channels, that a block makes at a time: layer.cuh
THREADS = {"mma.cu": 128, "simt.cu": 256}
LIST_THREADS = 256
BLOCKS = 4  # on a multiprocessor at a time; each works through as many tiles as there are
COMPACT = Program("compact.cu", (), "compact")


class CUDAKernel:
    """The backend of one stream.

    A layer whose density was above its limit when it was last heard of runs on cuDNN instead.

    Args:
        limits: of this card, by type and shape.
        dense_above: one limit for all shapes, for measurements.
    """

    def __init__(
        self, launcher: Launcher, limits: Limits | None = None, dense_above: float | None = None
    ) -> None:
        self.launcher, self.limits, self.dense_above = launcher, limits or {}, dense_above
        self._numbers: dict[Hashable, int] = {}
        self._skipped: dict[ConvUnit, Tensor] = {}
        self._limits: dict[tuple[ConvUnit, int], float] = {}

    @functools.cached_property
    def counts(self) -> Counts:
        """Of this stream's layers."""
        return Counts(self.launcher.device)

    def update(
        self, conv: ConvUnit, x: Tensor, shared: Tensor | None, policy: Tensor, output: Tensor
    ) -> None:
        if not takes(conv, x, shared, output):
            REFERENCE.update(conv, x, shared, policy, output)
            return
        number = self._number(conv)
        listed = self._compact(number, policy, output, self._skipped_value(conv, output))
        self._compute(number, conv, x, shared, policy, listed, output)

    def decide(
        self,
        conv: ConvUnit,
        x: Tensor,
        shared: Tensor | None,
        parts: Tensor,
        bias: Tensor,
        state: LayerState,
        given: Tensor | None = None,
    ) -> bool:
        """As in `DecidingKernel`: two launches, of which one decides, lists and skips."""
        output = state.output
        if not takes(conv, x, shared, output) or not takes_parts(parts, bias, state):
            return False
        number, count = self._number(conv), state.policy.numel()
        listed, skipped = self._room(number, count), self._skipped_value(conv, output)
        parts, state.policy = channels_last(parts), state.policy.contiguous()
        given = None if given is None else given.contiguous()
        job = decision_parameters(parts, bias, state, given, skipped, listed)
        self.launcher.start(decision(output.dtype), -(-count // LIST_THREADS), LIST_THREADS, job)
        self._compute(number, conv, x, shared, state.policy, listed, output)
        return True

    def add(self, conv: ConvUnit, change: Tensor, policy: Tensor, output: Tensor) -> None:
        if not takes(conv, change, None, output):
            REFERENCE.add(conv, change, policy, output)
            return
        number = self._number(conv)
        listed = self._compact(number, policy, output, None)
        if self._pays(number, conv, output):
            self._convolve(conv, change, None, listed, output, accumulate=True)
        else:
            REFERENCE.add(conv, change, policy, output)

    def list_cells(self, policy: Tensor, before: Tensor) -> CellList:
        """As in `ModuleKernel`: one launch."""
        policy, number = policy.contiguous(), self._number(policy.shape)
        return CellList(self._compact(number, policy, None, None), policy, before.contiguous(), number)

    def update_cells(
        self, conv: ConvUnit, x: Tensor, shared: Tensor | None, cells: CellList, output: Tensor
    ) -> None:
        """As in `ModuleKernel`: one launch, where the density of the list is not above the layer's limit."""
        fits = cells.side_bits(output) is not None and takes(conv, x, shared, output)
        if fits and self._pays(cells.number, conv, output):
            self._convolve(conv, x, shared, cells.computed, output, accumulate=False, cells=cells)
        else:
            policy = of_pixels(cells.policy, output.shape[2] // cells.policy.shape[1])
            REFERENCE.update(conv, x, shared, policy, output)

    def _compute(
        self,
        number: int,
        conv: ConvUnit,
        x: Tensor,
        shared: Tensor | None,
        policy: Tensor,
        listed: Listed,
        output: Tensor,
    ) -> None:
        """What is listed, or densely what the policy says."""
        if self._pays(number, conv, output):
            self._convolve(conv, x, shared, listed, output, accumulate=False)
        else:
            dense = conv.dense(x, shared)
            output.copy_(torch.where(policy.unsqueeze(1) == COMPUTE, dense, output))

    def _number(self, what: Hashable) -> int:
        """Of a layer, or of lists of cells of one shape, by which its counts are known."""
        if what not in self._numbers:
            self._numbers[what] = self.counts.new_layer()
        return self._numbers[what]

    def _skipped_value(self, conv: ConvUnit, output: Tensor) -> Tensor:
        """(Cout,) what a skipped pixel holds."""
        if conv not in self._skipped:
            self._skipped[conv] = conv.skipped().to(output.dtype)
        return self._skipped[conv]

    def _pays(self, number: int, conv: ConvUnit, output: Tensor) -> bool:
        """Whether our kernel convolves: whether the density, as last heard of, is not above the limit."""
        return self.counts.density(number) <= self.limit(conv, len(output))

    def limit(self, conv: ConvUnit, rows: int) -> float:
        """The density above which a layer runs densely, with so many images, or objects, at a time."""
        if self.dense_above is not None:
            return self.dense_above
        if (conv, rows) not in self._limits:
            dtype, capability = conv.weight.dtype, self.launcher.card.capability
            on_tensor_cores = source_for(capability, dtype) == "mma.cu"
            default = default_limit(dtype, capability, tensor_cores=on_tensor_cores)
            self._limits[conv, rows] = limit_of(conv, self.limits, default, rows)
        return self._limits[conv, rows]

    def _compact(self, number: int, policy: Tensor, output: Tensor | None, skipped: Tensor | None) -> Listed:
        """Lists what is computed, and writes skipped pixels where there are values for them."""
        count = policy.numel()
        listed = self._room(number, count)
        policy, job = policy.contiguous(), np.zeros(1, COMPACTION)
        job["policy"], job["skipped"], job["output"] = (pointer(t) for t in (policy, skipped, output))
        job["counter"], job["list"] = (pointer(tensor) for tensor in listed)
        job["pixels"] = count
        job["row_bytes"] = 0 if output is None else output.shape[1] * output.element_size()
        blocks = -(-count // LIST_THREADS)
        self.launcher.start(COMPACT, blocks, LIST_THREADS, job)
        return listed

    def _room(self, number: int, count: int) -> Listed:
        """For a list of so many, empty."""
        room = torch.empty(count, dtype=torch.int32, device=self.launcher.device)
        return Listed(self.counts.begin(number, count), room)

    def _convolve(
        self,
        conv: ConvUnit,
        x: Tensor,
        shared: Tensor | None,
        listed: Listed,
        output: Tensor,
        *,
        accumulate: bool,
        cells: CellList | None = None,
    ) -> None:
        common = None if shared is None else channels_last(shared)
        operands = Operands(channels_last(x), common, channels_last(conv.weight))
        layer = layer_parameters(conv, operands, listed, output, accumulate=accumulate)
        if cells is not None:
            cells.write_into(layer, output, self._skipped_value(conv, output))
        program = convolution(self.launcher.card.capability, output.dtype, aligned=operands.aligned())
        tiles = -(-output[:, 0].numel() // TILE) * -(-conv.out_channels // TILE)
        blocks = min(tiles, BLOCKS * self.launcher.card.multiprocessors)
        self.launcher.start(program, blocks, THREADS[program.source], layer)


def source_for(capability: int, dtype: torch.dtype) -> str:
    """Tensor cores, where the card has them for the type; for float32 where PyTorch's own convolutions may
    use TF32."""
    if dtype == torch.float32 and not tf32_allowed():
        return "simt.cu"
    return "mma.cu" if capability >= (75 if dtype == torch.float16 else 80) else "simt.cu"


def convolution(capability: int, dtype: torch.dtype, *, aligned: bool) -> Program:
    """The kernel that convolves in a type on a card."""
    defines = (f"ELEMENT={ELEMENTS[dtype]}", f"ALIGNED={int(aligned)}")
    return Program(source_for(capability, dtype), defines, "convolve")


def decision(dtype: torch.dtype) -> Program:
    """The kernel that decides by a triple gate's logits in a type."""
    return Program("decide.cu", (f"ELEMENT={ELEMENTS[dtype]}",), "decide")


def programs(capability: int, dtype: torch.dtype) -> list[Program]:
    """All that layers of a type may need on a card; none for a type that is left to PyTorch."""
    if dtype not in ELEMENTS:
        return []
    return [
        COMPACT,
        decision(dtype),
        *(convolution(capability, dtype, aligned=aligned) for aligned in (True, False)),
    ]
