"""The page about the CUDA kernels is what its program writes, and its program knows its layers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.roofline import CARDS, Layer, break_even, dense_seconds, layers, page, sparse_seconds

PAGE = Path(__file__).parents[2] / "docs" / "cuda_roofline.md"


def test_the_page_is_up_to_date() -> None:
    """The numbers; how PyTorch dispatches a gate's steps differs by version."""
    assert [line.split("|")[:7] for line in PAGE.read_text().splitlines() if line.startswith("|")] == [
        line.split("|")[:7] for line in page().splitlines() if line.startswith("|")
    ]


def test_layers() -> None:
    """39 in the query encoder, 6 in the decoder, 16 in the memory encoder; f4 has 120x216 pixels."""
    found = {layer.name: layer for layer in layers()}
    assert len(found) == 61
    assert found["decoder.up4.block.conv2"][1:] == (256, 256, 3, 1, 2 * 120 * 216)
    assert found["decoder.up4.block.conv2"].operations == 2 * 51840 * 256 * 256 * 9


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_break_even(card) -> None:
    layer = Layer("a large one", 512, 512, 3, 1, 100_000)
    limit = break_even(layer, card, launches=4)
    assert 0 < limit < 1
    assert sparse_seconds(layer, card, limit, 4) <= dense_seconds(layer, card)
    assert sparse_seconds(layer, card, limit + 0.05, 4) > dense_seconds(layer, card)
    assert break_even(Layer("a small one", 8, 8, 1, 1, 100), card, launches=4) is None
