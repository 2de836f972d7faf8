"""The kernels against the definition in float64, with operands rounded beforehand: what is left is one
rounding, that of the result."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from spvos_cli.sparse.conv import ConvUnit
from spvos_cli.sparse.kernels.kernel import Kernel, ModuleKernel
from spvos_cli.sparse.kernels.reference import REFERENCE
from spvos_cli.sparse.policy import SKIP, of_pixels

SUMMED = 1e-5  # sums of some thousand terms in float32
LARGEST_ERROR = {
    torch.float32: SUMMED,
    torch.float16: 6e-4,
    torch.bfloat16: 5e-3,
}  # one rounding is 2^-11, 2^-8


class Arithmetic(NamedTuple):
    """A type, and a card's compute capability, which says on which cores our kernels run."""

    dtype: torch.dtype
    capability: int
    tf32: bool = False


ARITHMETIC = {
    "fp32": Arithmetic(torch.float32, 70),
    "tf32": Arithmetic(torch.float32, 80, tf32=True),
    "fp16": Arithmetic(torch.float16, 80),
    "fp16 on Turing": Arithmetic(torch.float16, 75),
    "bf16": Arithmetic(torch.bfloat16, 80),
    "fp16 on ordinary cores": Arithmetic(torch.float16, 70),
    "bf16 on ordinary cores": Arithmetic(torch.bfloat16, 75),
}


def round_operand(x: Tensor, arithmetic: Arithmetic) -> Tensor:
    """To the type, or to the ten bits of fraction that TF32 has, the nearest, ties away from zero."""
    if not arithmetic.tf32:
        return x.to(arithmetic.dtype)
    return ((x.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


class Problem(NamedTuple):
    """A folded convolution, its input, and the output that it changes, in a type."""

    conv: ConvUnit
    x: Tensor
    shared: Tensor | None
    output: Tensor


def rounded_problem(
    conv: ConvUnit, x: Tensor, shared: Tensor | None, arithmetic: Arithmetic, output: Tensor | None = None
) -> Problem:
    """With random output where none is given; the convolution is changed."""
    with torch.no_grad():
        for parameter in (conv.weight, conv.bias, conv.constant):
            if parameter is not None:
                parameter.copy_(round_operand(parameter.float(), arithmetic))
    conv = conv.to(arithmetic.dtype, memory_format=torch.channels_last)
    x, shared = (None if t is None else channels_last(round_operand(t, arithmetic)) for t in (x, shared))
    if output is None:
        output = torch.randn_like(conv.dense(x, shared))
    return Problem(conv, x, shared, channels_last(output.to(arithmetic.dtype)))


def relative_error(kernel: Kernel, problem: Problem, policy: Tensor, *, add: bool = False) -> float:
    """The largest error of an update, or an addition, as a share of the result's range."""
    conv, x, shared, output = problem
    dtype, expected = output.dtype, output.double()
    found = output.clone(memory_format=torch.preserve_format)
    wide = (x.double(), None if shared is None else shared.double())
    if add:
        REFERENCE.add(conv.double(), wide[0], policy, expected)
        kernel.add(conv.to(dtype, memory_format=torch.channels_last), x, policy, found)
    else:
        REFERENCE.update(conv.double(), *wide, policy, expected)
        kernel.update(conv.to(dtype, memory_format=torch.channels_last), x, shared, policy, found)
    error = (found.double() - expected).abs().nan_to_num(torch.inf).max()
    return float(error / expected.abs().max().clamp(min=1e-6))


def relative_cell_error(kernel: ModuleKernel, problem: Problem, policy: Tensor, before: Tensor) -> float:
    """As `relative_error`, of an update under a policy of cells; what was skipped before holds the skipped
    value already."""
    conv, x, shared, output = problem
    side, dtype = output.shape[2] // policy.shape[1], output.dtype
    skipped = (of_pixels(before, side) == SKIP).unsqueeze(1)
    found = channels_last(torch.where(skipped, conv.skipped()[:, None, None].to(output), output))
    expected, wide = found.double(), None if shared is None else shared.double()
    kernel.update_cells(conv, x, shared, kernel.list_cells(policy, before), found)
    REFERENCE.update(conv.double(), x.double(), wide, of_pixels(policy, side), expected)
    conv.to(dtype, memory_format=torch.channels_last)
    error = (found.double() - expected).abs().nan_to_num(torch.inf).max()
    return float(error / expected.abs().max().clamp(min=1e-6))
