"""What each policy would do to the mask, and the gates' choices in a run that weighs them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.gate import GATES
from spvos_cli.sparse.policy import COMPUTE
from spvos_cli.training.streams.policy_costs import (
    DecoderTarget,
    DenseRun,
    PolicyCostRun,
    mask_error,
)
from tests.sparse.definition import Definition, random_conv


def gated_conv(method: str, *, relu: bool = True) -> SparseConv2d:
    conv = random_conv(0, (3, 4, 3, 1), norm=True, relu=relu)
    conv.gate = GATES[method](conv)
    torch.nn.init.normal_(conv.gate.weight)
    torch.nn.init.zeros_(conv.gate.bias)
    return conv


def target_of(conv: SparseConv2d, x: Tensor, directions: int = 2) -> DecoderTarget:
    output = conv.dense(x)
    return DecoderTarget(output.detach(), torch.randn(directions, *output.shape))


@pytest.mark.parametrize("method", GATES)
def test_choices_are_those_of_test_time(method: str) -> None:
    conv = gated_conv(method)
    definition, run = Definition(conv), PolicyCostRun()
    for t in range(6):
        x, run.sparse = torch.randn(1, 3, 7, 8), t not in (0, 3)
        run.targets = [target_of(conv, x)]
        expected, policies = definition.step({1: x}, sparse=run.sparse)
        torch.testing.assert_close(conv(x, run), expected[1], atol=1e-5, rtol=1e-5)
        if policies[1] is not None:
            assert torch.equal(run.steps[-1].computed[0], policies[1][0] == COMPUTE)


def test_error_is_what_one_pixel_does_to_the_mask() -> None:
    """A linear mask: its change along a direction, where only one pixel's output differs, squared."""
    torch.manual_seed(0)
    conv, x = random_conv(0, (3, 4, 3, 1), norm=True, relu=True), torch.randn(2, 3, 5, 6)
    weight, directions = torch.randn(4, 5, 6), torch.randn(2, 2)
    output = conv.dense(x)
    gradients = directions[:, :, None, None, None] * weight
    errors = mask_error(conv, torch.zeros_like(output), DecoderTarget(output, gradients))
    nothing = conv.finish(torch.zeros_like(output))
    for row, y, column in ((0, 2, 3), (1, 4, 0)):
        other = output.clone()
        other[row, :, y, column] = nothing[row, :, y, column]
        change = ((other - output)[row] * weight).sum() * directions[:, row]
        torch.testing.assert_close(errors[row, y, column], change.square().mean())


def test_what_is_right_costs_nothing() -> None:
    """The dense output has no error, nor has what is kept where nothing moved."""
    conv, run, x = gated_conv("triple"), PolicyCostRun(), torch.randn(1, 3, 7, 8)
    run.targets = [target_of(conv, x)]
    conv(x, run)
    run.sparse = True
    conv(x, run)
    (step,) = run.steps
    skip, reuse, compute = step.errors[0]
    assert skip.min() > 0
    torch.testing.assert_close(reuse, torch.zeros_like(reuse), atol=1e-8, rtol=0)
    torch.testing.assert_close(compute, torch.zeros_like(compute), atol=1e-8, rtol=0)


@pytest.mark.parametrize("method", GATES)
def test_gates_and_convolutions_learn_apart(method: str) -> None:
    """The gate from its expected error alone, the convolution from what becomes of its output."""
    conv, run = gated_conv(method, relu=False), PolicyCostRun()
    x = [torch.randn(1, 3, 7, 8, requires_grad=True) for _ in range(2)]
    conv(x[0], run)
    run.sparse, run.targets = True, [target_of(conv, x[1])]
    output = conv(x[1], run)
    (step,) = run.steps
    (step.logits.softmax(dim=1) * step.errors).sum().backward()
    assert conv.gate.weight.grad.abs().sum() > 0
    assert conv.weight.grad is None
    assert x[1].grad is None
    conv.gate.zero_grad()
    output.sum().backward()
    assert conv.gate.weight.grad is None
    assert conv.weight.grad.abs().sum() > 0


def test_dense_run_keeps_what_is_dense() -> None:
    conv, dense, x = gated_conv("static"), DenseRun(), torch.randn(1, 3, 7, 8)
    assert torch.equal(conv(x, dense), conv.dense(x))
    assert torch.equal(dense.outputs[0], conv.dense(x))
