"""Padding and aggregation, the field's conventions."""

from __future__ import annotations

import pytest
import torch

from spvos_cli.model.layers import aggregate, pad_to_multiple, sum_of_others, unpad
from spvos_cli.sparse.conv_unit import ConvUnit, repeat_rows


@pytest.mark.parametrize("size", [(16, 32), (17, 31), (1, 1), (90, 150)])
def test_padding_is_undone(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    padded, padding = pad_to_multiple(x)
    assert all(side % 16 == 0 for side in padded.shape[2:])
    assert padding[0] <= padding[1] <= padding[0] + 1
    assert torch.equal(unpad(padded, padding), x)


def test_aggregation() -> None:
    prob = torch.rand(2, 4, 5)
    together = aggregate(prob)
    torch.testing.assert_close(together.sum(dim=0), torch.ones(4, 5))
    background = (1 - prob).prod(dim=0)
    odds = torch.cat([background[None], prob]) / (1 - torch.cat([background[None], prob]))
    torch.testing.assert_close(together, odds / odds.sum(dim=0))


def test_others_and_repeated_rows() -> None:
    masks = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(sum_of_others(masks)[:, 0], masks[:, 1] + masks[:, 2])
    x = torch.randn(2, 5, 4, 4)
    assert torch.equal(repeat_rows(x, 6), x.repeat_interleave(3, dim=0))


@pytest.mark.parametrize("bias", [False, True])
def test_folded_normalisation(bias: bool) -> None:
    unit = ConvUnit(3, 5, 3, 2, bias=bias, norm=True, relu=True).eval()
    for tensor in (unit.norm.weight, unit.norm.bias, unit.norm.running_mean, unit.norm.running_var):
        torch.nn.init.uniform_(tensor, 0.5, 1.5)
    x = torch.randn(2, 3, 9, 8)
    expected = unit(x)
    unit.fold_norm()
    assert unit.norm is None
    torch.testing.assert_close(unit(x), expected, atol=1e-5, rtol=1e-5)
