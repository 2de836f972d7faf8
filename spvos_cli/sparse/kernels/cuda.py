"""The sparse convolution on an NVIDIA GPU: one launch lists the computed pixels and writes the skipped ones,
one convolves what is listed. The host never waits for the device."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from spvos_cli.sparse.conv_unit import ConvUnit
from spvos_cli.sparse.kernels.cuda_launch import COMPACTION, ELEMENTS, LAYER, Launcher
from spvos_cli.sparse.kernels.cuda_limits import default_limit
from spvos_cli.sparse.kernels.limits import Limits, limit_of
from spvos_cli.sparse.kernels.reference import REFERENCE
from spvos_cli.sparse.policy import COMPUTE

TILE = 64  # pixels, and output channels, that a block makes at a time: layer.cuh
THREADS = {"mma.cu": 128, "simt.cu": 256}
COMPACTION_THREADS = 256
BLOCKS = 4  # on a multiprocessor at a time; each works through as many tiles as there are
LARGEST = 2**31 - 1  # indices are 32 bits wide
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

    def update(
        self, conv: ConvUnit, x: Tensor, shared: Tensor | None, policy: Tensor, output: Tensor
    ) -> None:
        if not takes(conv, x, shared, output):
            REFERENCE.update(conv, x, shared, policy, output)
            return
        layer = self._layer(conv, output)
        listed = self._compact(policy, output, layer.skipped)
        if layer.density.latest() > layer.limit:
            dense = conv.dense(x, shared)
            output.copy_(torch.where(policy.unsqueeze(1) == COMPUTE, dense, output))
        else:
            self._convolve(conv, x, shared, listed, output, accumulate=False)
        layer.density.note(listed[:1], policy.numel())

    def add(self, conv: ConvUnit, change: Tensor, policy: Tensor, output: Tensor) -> None:
        if not takes(conv, change, None, output):
            REFERENCE.add(conv, change, policy, output)
            return
        layer = self._layer(conv, output)
        listed = self._compact(policy, output, None)
        if layer.density.latest() > layer.limit:
            REFERENCE.add(conv, change, policy, output)
        else:
            self._convolve(conv, change, None, listed, output, accumulate=True)
        layer.density.note(listed[:1], policy.numel())

    def _layer(self, conv: ConvUnit, output: Tensor) -> _Layer:
        if conv not in self._layers:
            limit = self.dense_above
            if limit is None:
                capability = self.launcher.card.capability
                on_tensor_cores = source_for(capability, output.dtype) == "mma.cu"
                default = default_limit(output.dtype, capability, tensor_cores=on_tensor_cores)
                limit = limit_of(conv, self.limits, default)
            self._layers[conv] = _Layer(conv.skipped().to(output.dtype), limit, Density(output.device))
        return self._layers[conv]

    def _compact(self, policy: Tensor, output: Tensor, skipped: Tensor | None) -> Tensor:
        """Writes skipped pixels; returns (1 + pixels,) int32: how many are computed, then which."""
        pixels = policy.numel()
        listed = torch.empty(1 + pixels, dtype=torch.int32, device=output.device)
        listed[:1].zero_()
        policy, job = policy.contiguous(), np.zeros(1, COMPACTION)
        job["policy"], job["skipped"] = policy.data_ptr(), pointer(skipped)
        job["output"], job["list"] = output.data_ptr(), listed.data_ptr()
        job["pixels"], job["row_bytes"] = pixels, output.shape[1] * output.element_size()
        blocks = -(-pixels // COMPACTION_THREADS)
        self.launcher.start("compact.cu", (), "compact", blocks, COMPACTION_THREADS, job)
        return listed

    def _convolve(
        self,
        conv: ConvUnit,
        x: Tensor,
        shared: Tensor | None,
        listed: Tensor,
        output: Tensor,
        *,
        accumulate: bool,
    ) -> None:
        operands = Operands(*(None if t is None else channels_last(t) for t in (x, shared, conv.weight)))
        layer = layer_parameters(conv, operands, listed, output, accumulate=accumulate)
        source = source_for(self.launcher.card.capability, output.dtype)
        defines = (f"ELEMENT={ELEMENTS[output.dtype]}", f"ALIGNED={int(operands.aligned())}")
        tiles = -(-(len(listed) - 1) // TILE) * -(-conv.out_channels // TILE)
        blocks = min(tiles, BLOCKS * self.launcher.card.multiprocessors)
        self.launcher.start(source, defines, "convolve", blocks, THREADS[source], layer)


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
    conv: ConvUnit, operands: Operands, listed: Tensor, output: Tensor, *, accumulate: bool
) -> np.ndarray:
    """(1,) of LAYER; with `accumulate` the convolution alone is added to the output."""
    x, shared, weight = operands
    layer = np.zeros(1, LAYER)
    layer["input"], layer["common"], layer["weight"] = x.data_ptr(), pointer(shared), weight.data_ptr()
    layer["bias"] = 0 if accumulate else pointer(conv.bias)
    layer["list"], layer["output"] = listed.data_ptr(), output.data_ptr()
    layer["channels"], layer["outputs"] = x.shape[1], conv.out_channels
    layer["common_channels"] = 0 if shared is None else shared.shape[1]
    layer["height"], layer["width"] = x.shape[2:]
    layer["out_height"], layer["out_width"] = output.shape[2:]
    layer["size"], layer["stride"] = conv.kernel_size[0], conv.stride[0]
    layer["objects"] = 1 if shared is None else len(x) // len(shared)
    layer["relu"], layer["accumulate"] = conv.relu and not accumulate, accumulate
    return layer


@dataclasses.dataclass
class _Layer:
    """What is kept for a layer: (Cout,) what a skipped pixel holds; the limit; the density."""

    skipped: Tensor
    limit: float
    density: Density


class Density:
    """A layer's density, as far as its counts have reached the host, which never waits for one."""

    def __init__(self, device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        self._count = torch.zeros(1, dtype=torch.int32, pin_memory=on_gpu)
        self._copied = torch.cuda.Event() if on_gpu else None
        self._pixels = 0  # those of the count that is on its way
        self._latest = 0.0

    def latest(self) -> float:
        """Of the last frame whose count has arrived; 0 before the first."""
        if self._pixels and not self._capturing() and (self._copied is None or self._copied.query()):
            self._latest, self._pixels = self._count.item() / self._pixels, 0
        return self._latest

    def note(self, count: Tensor, pixels: int) -> None:
        """Sends for a frame's count, unless one is on its way or a CUDA graph is being captured."""
        if self._pixels or self._capturing():
            return
        self._count.copy_(count, non_blocking=True)
        self._pixels = pixels
        if self._copied is not None:
            self._copied.record()

    def _capturing(self) -> bool:
        return self._copied is not None and torch.cuda.is_current_stream_capturing()


def source_for(capability: int, dtype: torch.dtype) -> str:
    """Tensor cores, where the card has them for the type; for float32 where PyTorch's own convolutions may
    use TF32."""
    if dtype == torch.float32 and not torch.backends.cudnn.allow_tf32:
        return "simt.cu"
    return "mma.cu" if capability >= (75 if dtype == torch.float16 else 80) else "simt.cu"


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
