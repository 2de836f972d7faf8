"""The page about the CUDA kernels is what its program writes, and its predictions are those made by hand."""

from __future__ import annotations

import re

import pytest

from tools.roofline import (
    BEGIN,
    CARDS,
    LAUNCH,
    MODULE_LAUNCHES,
    OWN_LAUNCHES,
    PAGE,
    SIZES,
    Layer,
    break_even,
    counted_launches,
    counted_module_launches,
    dense_seconds,
    frame,
    in_fp32,
    layers,
    renewed,
    sparse_seconds,
)

LAYER = Layer("64 channels", 64, 64, 3, 1, 10_000)


def test_the_page_is_up_to_date() -> None:
    """All of it, at the number of launches that it says, which differs by PyTorch's version."""
    text = PAGE.read_text()
    found = re.search(r"starts (\d+) kernels", text)
    assert found is not None
    assert text == renewed(text, launches=int(found[1]))
    assert "**Predicted, not measured.**" in text.partition(BEGIN)[2]


def test_launches() -> None:
    """A gate convolves; our kernel chooses, and compares with what is there."""
    assert OWN_LAUNCHES < counted_launches() <= OWN_LAUNCHES + 8
    assert abs(counted_module_launches() - MODULE_LAUNCHES) <= 20  # PyTorch's versions differ


def test_layers() -> None:
    """Gated: 39 in the query encoder, 6 in the decoder; f4 has 120x214 pixels, padded to 120x216. The others:
    stem, three shortcuts and two heads; two shortcuts, two skip convolutions and the prediction."""
    found = {layer.name: layer for layer in layers((864, 480), 2)}
    assert sum(layer.gated for layer in found.values()) == 45
    assert len(found) == 45 + 6 + 5
    assert found["decoder.up4.block.conv2"][1:6] == (256, 256, 3, 1, 2 * 120 * 216)
    assert found["decoder.up4.block.conv2"].operations == 2 * 51840 * 256 * 256 * 9
    assert found["decoder.up4.skip"].pixels == 120 * 216  # once for all objects


def test_dense_by_hand() -> None:
    """0.737 GFLOP at 60 % of 989 T/s take longer than 2.63 MB at 75 % of 3.35 TB/s; so on V100."""
    assert LAYER.operations == 737_280_000
    assert LAYER.bytes(2) == 2 * (640_000 + 36_864 + 640_000)
    assert dense_seconds(LAYER, CARDS["H100"]) == pytest.approx(1.5e-6 + 1.2425e-6, rel=1e-3)
    assert dense_seconds(LAYER, CARDS["V100"]) == pytest.approx(1.5e-6 + 9.8304e-6, rel=1e-3)
    assert dense_seconds(LAYER, in_fp32("V100")) == pytest.approx(1.5e-6 + 78.27e-6, rel=1e-3)


def test_frames() -> None:
    """More objects cost more; a frame started from Python takes no less than the card; gates in Python cost
    more than they save where the card is fast."""
    size = SIZES["480p"]
    one, five = (frame(size, objects, CARDS["H100"], "", 16) for objects in (1, 5))
    assert one.graph < five.graph
    gated = frame(size, 1, CARDS["H100"], "QD", 16)
    assert gated.eager > gated.graph > one.graph
    assert frame(size, 1, CARDS["H100"], "QD", 3).graph < gated.graph
    assert frame(size, 5, CARDS["RTX 3060"], "D", 16).graph < frame(size, 5, CARDS["RTX 3060"], "", 16).graph


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_sparse(card) -> None:
    """At full density a sparse layer moves and computes more than a dense one; launches simply add."""
    times = [sparse_seconds(LAYER, card, density, 4) for density in (0, 0.1, 0.5, 1)]
    assert times == sorted(times)
    assert times[-1] > dense_seconds(LAYER, card)
    assert sparse_seconds(LAYER, card, 0.1, 14) - times[1] == pytest.approx(10 * LAUNCH)


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_break_even(card) -> None:
    layer = Layer("a large one", 512, 512, 3, 1, 100_000)
    limit = break_even(layer, card, launches=4)
    assert 0 < limit < 1
    assert sparse_seconds(layer, card, limit, 4) <= dense_seconds(layer, card)
    assert sparse_seconds(layer, card, limit + 0.05, 4) > dense_seconds(layer, card)
    assert break_even(Layer("a small one", 8, 8, 1, 1, 100), card, launches=4) is None
