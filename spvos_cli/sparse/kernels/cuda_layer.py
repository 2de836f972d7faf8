"""What a launch of our convolution is given: tensors that it can take, and its struct."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from spvos_cli.sparse.conv_unit import ConvUnit
from spvos_cli.sparse.kernels.cuda_launch import DECISION, ELEMENTS, LAYER
from spvos_cli.sparse.layer_state import LayerState

LARGEST = 2**31 - 1  # indices are 32 bits wide
PIECE = 16  # bytes that the wide loads take at a time


class Listed(NamedTuple):
    """What is computed, on the device: (1,) int32 how many pixels, and (N,) int32, those first; or cells of
    pixels.

    Attributes:
        counter: stays what it is until a list with its number is made again.
    """

    counter: Tensor
    list: Tensor


class CellList(NamedTuple):
    """One policy of cells, as all layers under it are given it.

    Attributes:
        computed: the cells that are computed.
        policy: (B, h, w) uint8.
        before: likewise, under which the layers' outputs were left.
        number: by which the density is known.
    """

    computed: Listed
    policy: Tensor
    before: Tensor
    number: int

    def side_bits(self, output: Tensor) -> int | None:
        """Of the power of two by which an output, (B, C, H, W), is finer; None: it is by no such."""
        side = output.shape[2] // self.policy.shape[1]
        size = tuple(side * length for length in self.policy.shape[1:])
        return side.bit_length() - 1 if side.bit_count() == 1 and output.shape[2:] == size else None

    def write_into(self, layer: np.ndarray, output: Tensor, skipped: Tensor) -> None:
        """Into (1,) of LAYER: that cells are listed, and which of them are skipped.

        Args:
            skipped: (C,), what a skipped pixel holds.
        """
        layer["policy"], layer["before"], layer["skipped"] = (
            tensor.data_ptr() for tensor in (self.policy, self.before, skipped)
        )
        layer["cells"], layer["side_bits"] = self.policy.numel(), self.side_bits(output)


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
    conv: ConvUnit, operands: Operands, listed: Listed, output: Tensor, *, accumulate: bool
) -> np.ndarray:
    """(1,) of LAYER; with `accumulate` the convolution alone is added to the output."""
    x, shared, weight = operands
    layer = np.zeros(1, LAYER)
    layer["input"], layer["common"], layer["weight"] = x.data_ptr(), pointer(shared), weight.data_ptr()
    layer["bias"] = 0 if accumulate else pointer(conv.bias)
    layer["counter"], layer["list"] = (pointer(tensor) for tensor in listed)
    layer["output"] = output.data_ptr()
    layer["channels"], layer["outputs"] = x.shape[1], conv.out_channels
    layer["common_channels"] = 0 if shared is None else shared.shape[1]
    layer["height"], layer["width"] = x.shape[2:]
    layer["out_height"], layer["out_width"] = output.shape[2:]
    layer["size"], layer["stride"] = conv.kernel_size[0], conv.stride[0]
    layer["objects"] = 1 if shared is None else len(x) // len(shared)
    layer["relu"], layer["accumulate"] = conv.relu and not accumulate, accumulate
    return layer


def decision_parameters(
    parts: Tensor,
    bias: Tensor,
    state: LayerState,
    given: Tensor | None,
    skipped: Tensor,
    listed: Listed,
) -> np.ndarray:
    """(1,) of DECISION; all as `takes_parts` wants it, channels last."""
    job, output = np.zeros(1, DECISION), state.output
    job["parts"], job["bias"], job["logits"] = (pointer(t) for t in (parts, bias, state.logits))
    job["policy"], job["given"], job["unknown"] = (pointer(t) for t in (state.policy, given, state.is_new))
    job["skipped"], job["output"] = pointer(skipped), pointer(output)
    job["counter"], job["list"] = (pointer(tensor) for tensor in listed)
    job["pixels"], job["row_pixels"] = state.policy.numel(), state.policy[0].numel()
    job["row_bytes"] = output.shape[1] * output.element_size()
    return job


def takes(conv: ConvUnit, x: Tensor, shared: Tensor | None, output: Tensor) -> bool:
    """Whether the kernels can: the type, 32-bit indices, the alignment of what is written."""
    tensors = [tensor for tensor in (x, shared, output, conv.weight) if tensor is not None]
    same = {tensor.dtype for tensor in tensors} == {output.dtype}
    small = all(tensor.numel() <= LARGEST for tensor in tensors)
    return output.dtype in ELEMENTS and same and small and output.data_ptr() % PIECE == 0


def takes_parts(parts: Tensor, bias: Tensor, state: LayerState) -> bool:
    """Whether the kernel that decides can: the types, and 32-bit indices. Puts kept logits in order."""
    if not parts.dtype == bias.dtype == state.output.dtype or parts.numel() > LARGEST or state.logits is None:
        return False
    state.logits = channels_last(state.logits)
    return state.logits.dtype == torch.float32


def pointer(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
