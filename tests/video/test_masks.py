"""Masks in every form that people have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.video.mask_opening import fit_mask
from spvos_cli.video.masks import read_mask
from spvos_cli.video.palettes import voc_palette
from tests.video.writing import MemorySource

IDS = np.zeros((20, 30), np.uint8)
IDS[2:8, 3:9], IDS[10:18, 12:25] = 1, 2


def test_palette() -> None:
    palette = voc_palette()
    assert palette[:5].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128]]
    assert palette[255].tolist() == [224, 224, 192]
    assert len({tuple(colour) for colour in palette.tolist()}) == 256


def saved(path: Path, mode: str) -> Path:
    if mode == "P":
        image = Image.fromarray(IDS, "P")
        image.putpalette([0, 0, 0, 10, 20, 30, 40, 50, 60])
    elif mode == "L":
        image = Image.fromarray(IDS, "L")
    else:
        image = Image.fromarray(voc_palette()[IDS]).convert(mode)
    image.save(path)
    return path


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "RGBA"])
def test_modes(tmp_path: Path, mode: str) -> None:
    mask = read_mask(saved(tmp_path / "mask.png", mode))
    assert np.array_equal(mask.ids, IDS)
    if mode == "P":
        assert mask.palette[:3].tolist() == [[0, 0, 0], [10, 20, 30], [40, 50, 60]]


@pytest.mark.parametrize("mode", ["1", "L"])
def test_black_and_white(tmp_path: Path, mode: str) -> None:
    Image.fromarray((IDS == 1).astype(np.uint8) * 255).convert(mode).save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png").ids, IDS == 1)


def test_ids_with_gaps_stay(tmp_path: Path) -> None:
    Image.fromarray(IDS * 100, "L").save(tmp_path / "mask.png")
    assert np.unique(read_mask(tmp_path / "mask.png").ids).tolist() == [0, 100, 200]


def test_any_colours_become_ids_and_stay_the_palette(tmp_path: Path) -> None:
    colours = np.array([[0, 0, 0], [250, 1, 2], [3, 200, 4]], np.uint8)
    Image.fromarray(colours[IDS]).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png")
    assert np.unique(mask.ids).tolist() == [0, 1, 2]
    assert np.array_equal(mask.palette[mask.ids], colours[IDS])


def test_bad_masks(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / "empty.png")
    many = np.arange(900).reshape(30, 30)
    Image.fromarray(np.stack([many % 256, many // 256, many * 0 + 9], axis=2).astype(np.uint8)).save(
        tmp_path / "many.png"
    )
    (tmp_path / "text.png").write_text("no image")
    for name, found in (
        ("empty", "no object"),
        ("many", "900 colours"),
        ("text", "not readable"),
        ("missing", "no such"),
    ):
        with pytest.raises(InputError, match=f"{name}.png: .*{found}"):
            read_mask(tmp_path / f"{name}.png")


def test_size() -> None:
    doubled = fit_mask(IDS, MemorySource(60, 40), "mask.png")
    assert np.array_equal(doubled, IDS.repeat(2, axis=0).repeat(2, axis=1))
    with pytest.raises(InputError, match=r"mask.png: 30x20 pixels; expected the frames' 30x30"):
        fit_mask(IDS, MemorySource(30, 30), "mask.png")
