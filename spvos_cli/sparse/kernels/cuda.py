"""The sparse convolution on an NVIDIA GPU: one launch lists the computed pixels and writes the skipped ones,
one convolves what is listed. The host never waits for the device."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from spvos_cli.sparse.conv_unit import ConvUnit
from spvos_cli.sparse.kernels.cuda_counts import Counts
from spvos_cli.sparse.kernels.cuda_launch import COMPACTION, ELEMENTS, LAYER, Launcher, Program
from spvos_cli.sparse.kernels.cuda_limits import default_limit
from spvos_cli.sparse.kernels.limits import Limits, limit_of
from spvos_cli.sparse.kernels.precision import tf32_allowed
from spvos_cli.sparse.kernels.reference import REFERENCE
from spvos_cli.sparse.policy import COMPUTE

TILE = 64  # pixels, and output channels, that a block makes at a time: layer.cuh
THREADS = {"mma.cu": 128, "simt.cu": 256}
COMPACTION_THREADS = 256
BLOCKS = 4  # on a multiprocessor at a time; each works through as many tiles as there are
LARGEST = 2**31 - 1  # indices are 32 bits wide
COMPACT = Program("compact.cu", (), "compact")
PIECE = 16  # bytes that the wide loads take at a time


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
        self._layers: dict[ConvUnit, _Layer] = {}
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
        layer = self._layer(conv, output)
        pixels = self._compact(layer, policy, output, layer.skipped)
        if self._pays(layer, conv, output):
            self._convolve(conv, x, shared, pixels, output, accumulate=False)
        else:
            dense = conv.dense(x, shared)
            output.copy_(torch.where(policy.unsqueeze(1) == COMPUTE, dense, output))

    def add(self, conv: ConvUnit, change: Tensor, policy: Tensor, output: Tensor) -> None:
        if not takes(conv, change, None, output):
            REFERENCE.add(conv, change, policy, output)
            return
        layer = self._layer(conv, output)
        pixels = self._compact(layer, policy, output, None)
        if self._pays(layer, conv, output):
            self._convolve(conv, change, None, pixels, output, accumulate=True)
        else:
            REFERENCE.add(conv, change, policy, output)

    def _layer(self, conv: ConvUnit, output: Tensor) -> _Layer:
        if conv not in self._layers:
            self._layers[conv] = _Layer(self.counts.new_layer(), conv.skipped().to(output.dtype))
        return self._layers[conv]

    def _pays(self, layer: _Layer, conv: ConvUnit, output: Tensor) -> bool:
        """Whether our kernel convolves: whether the density, as last heard of, is not above the limit."""
        return self.counts.density(layer.number) <= self.limit(conv, len(output))

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

    def _compact(self, layer: _Layer, policy: Tensor, output: Tensor, skipped: Tensor | None) -> _Pixels:
        """Writes skipped pixels, and lists those that are computed."""
        count = policy.numel()
        pixels = _Pixels(
            self.counts.begin(layer.number, count),
            torch.empty(count, dtype=torch.int32, device=output.device),
        )
        policy, job = policy.contiguous(), np.zeros(1, COMPACTION)
        job["policy"], job["skipped"], job["output"] = (pointer(t) for t in (policy, skipped, output))
        job["counter"], job["list"] = (pointer(tensor) for tensor in pixels)
        job["pixels"], job["row_bytes"] = count, output.shape[1] * output.element_size()
        blocks = -(-count // COMPACTION_THREADS)
        self.launcher.start(COMPACT, blocks, COMPACTION_THREADS, job)
        return pixels

    def _convolve(
        self,
        conv: ConvUnit,
        x: Tensor,
        shared: Tensor | None,
        pixels: _Pixels,
        output: Tensor,
        *,
        accumulate: bool,
    ) -> None:
        common = None if shared is None else channels_last(shared)
        operands = Operands(channels_last(x), common, channels_last(conv.weight))
        layer = layer_parameters(conv, operands, pixels, output, accumulate=accumulate)
        program = convolution(self.launcher.card.capability, output.dtype, aligned=operands.aligned())
        tiles = -(-len(pixels.list) // TILE) * -(-conv.out_channels // TILE)
        blocks = min(tiles, BLOCKS * self.launcher.card.multiprocessors)
        self.launcher.start(program, blocks, THREADS[program.source], layer)


class _Pixels(NamedTuple):
    """What is computed, on the device: (1,) how many pixels, and (pixels,) int32, those first.

    Attributes:
        counter: stays what it is until the layer runs again.
    """

    counter: Tensor
    list: Tensor


class Operands(NamedTuple):
    """What a convolution reads, channels last."""

    input: Tensor
    common: Tensor | None
    weight: Tensor

    def aligned(self) -> bool:
        """Whether all pixels and taps start, and end, where wide loads do."""
        tensors = [tensor for tensor in self if tensor is not None]
        channels = [t.shape[1] * t.element_size() for t in (self.input, self.common) if t is not None]
        return not any(number % PIECE for number in [*channels, *(t.data_ptr() for t in tensors)])


def layer_parameters(
    conv: ConvUnit, operands: Operands, pixels: _Pixels, output: Tensor, *, accumulate: bool
) -> np.ndarray:
    """(1,) of LAYER; with `accumulate` the convolution alone is added to the output."""
    x, shared, weight = operands
    layer = np.zeros(1, LAYER)
    layer["input"], layer["common"], layer["weight"] = x.data_ptr(), pointer(shared), weight.data_ptr()
    layer["bias"] = 0 if accumulate else pointer(conv.bias)
    layer["counter"], layer["list"] = (pointer(tensor) for tensor in pixels)
    layer["output"] = output.data_ptr()
    layer["channels"], layer["outputs"] = x.shape[1], conv.out_channels
    layer["common_channels"] = 0 if shared is None else shared.shape[1]
    layer["height"], layer["width"] = x.shape[2:]
    layer["out_height"], layer["out_width"] = output.shape[2:]
    layer["size"], layer["stride"] = conv.kernel_size[0], conv.stride[0]
    layer["objects"] = 1 if shared is None else len(x) // len(shared)
    layer["relu"], layer["accumulate"] = conv.relu and not accumulate, accumulate
    return layer


class _Layer(NamedTuple):
    """What is kept for a layer: its number, and (Cout,) what a skipped pixel holds."""

    number: int
    skipped: Tensor


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


def programs(capability: int, dtype: torch.dtype) -> list[Program]:
    """All that layers of a type may need on a card; none for a type that is left to PyTorch."""
    if dtype not in ELEMENTS:
        return []
    return [COMPACT, *(convolution(capability, dtype, aligned=aligned) for aligned in (True, False))]


def takes(conv: ConvUnit, x: Tensor, shared: Tensor | None, output: Tensor) -> bool:
    """Whether the kernels can: the type, 32-bit indices, the alignment of what is written."""
    tensors = [tensor for tensor in (x, shared, output, conv.weight) if tensor is not None]
    same = {tensor.dtype for tensor in tensors} == {output.dtype}
    small = all(tensor.numel() <= LARGEST for tensor in tensors)
    return output.dtype in ELEMENTS and same and small and output.data_ptr() % PIECE == 0


def pointer(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
