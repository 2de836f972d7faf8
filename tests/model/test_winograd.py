"""Winograd's algorithm against the direct convolution."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from spvos_cli.model.cpu.winograd import (
    LEAST_PIXELS,
    TILES,
    transform_tile_weight,
    transform_weight,
    winograd_conv2d,
    winograd_tiles,
)
from spvos_cli.sparse.conv import SparseConv2d


@pytest.mark.parametrize("size", [(40, 60), (41, 60), (40, 61), (3, 2 * TILES + 5)])
@pytest.mark.parametrize("channels", [(512, 256), (256, 520)])
@pytest.mark.parametrize("bias", [True, False])
def test_equals_the_direct_convolution(channels: tuple[int, int], size: tuple[int, int], bias: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, channels[0], *size).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(channels[1], channels[0], 3, 3)
    add = torch.randn(channels[1]) * 50 if bias else None
    found = winograd_conv2d(x, transform_weight(weight), add)
    expected = F.conv2d(x, weight, add, padding=1)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("edge", [4, 6])
def test_tiles_equal_the_direct_convolution(edge: int) -> None:
    torch.manual_seed(0)
    tiles, weight = torch.randn(37, edge, edge, 96), torch.randn(64, 96, 3, 3)
    found = winograd_tiles(tiles, transform_tile_weight(weight, edge))
    expected = F.conv2d(tiles.permute(0, 3, 1, 2), weight).permute(0, 2, 3, 1).flatten(0, 2)
    assert (found - expected).abs().max() <= 3e-5 * expected.abs().max()


def test_tiles_where_it_pays() -> None:
    """Made once; none for other edges, few channels, other types, or no neighbourhood."""
    conv = SparseConv2d(96, 64, 3).requires_grad_(False)
    assert conv.tile_weight(6) is conv.tile_weight(6) is not None
    assert conv.tile_weight(3) is None
    with torch.no_grad():
        conv.weight *= 2
    conv.prepare_winograd()  # after the weight changed
    assert torch.equal(conv.tile_weight(4), transform_tile_weight(conv.weight, 4))
    for other in (SparseConv2d(96, 16, 3), SparseConv2d(96, 64, 1), SparseConv2d(96, 64, 3).bfloat16()):
        assert other.requires_grad_(False).tile_weight(6) is None


@pytest.mark.parametrize("shared", [0, 256])
def test_a_layer_takes_it_on_large_images(monkeypatch: pytest.MonkeyPatch, shared: int) -> None:
    torch.manual_seed(0)
    conv = SparseConv2d(512, 512, 3, relu=True).requires_grad_(False)
    x = torch.randn(2, 512 - shared, 30, LEAST_PIXELS // 30)
    common = torch.randn(1, shared, *x.shape[2:]) if shared else None
    expected = conv.dense(x, common)
    conv.prepare_winograd()
    monkeypatch.setattr("spvos_cli.sparse.conv_unit.fast_conv2d", None)
    found = conv.dense(x, common)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize(
    ("inputs", "outputs", "size", "stride"), [(128, 512, 3, 1), (512, 512, 1, 1), (512, 512, 3, 2)]
)
def test_not_where_it_does_not_pay(inputs: int, outputs: int, size: int, stride: int) -> None:
    conv = SparseConv2d(inputs, outputs, size, stride)
    conv.prepare_winograd()
    assert conv.winograd_weight is None
