"""Label maps as image files: whatever holds ids, and what does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.video.label_files import read_label_map, save_label_map
from spvos_cli.video.palettes import voc_palette

IDS = np.array([[0, 1, 2], [2, 0, 7]], np.uint8)
WHITE = np.where(IDS == 2, 255, 0).astype(np.uint8)


def images() -> dict[str, tuple[Image.Image, np.ndarray]]:
    """An image of each kind, and the ids that it means."""
    colours = voc_palette()
    return {
        "grey": (Image.fromarray(IDS), IDS),
        "wide": (Image.fromarray(IDS.astype(np.uint16)), IDS),
        "colours": (Image.fromarray(colours[IDS]), IDS),
        "clear colours": (Image.fromarray(colours[IDS]).convert("RGBA"), IDS),
        "white": (Image.fromarray(WHITE), WHITE),
        "white in colour": (Image.fromarray(WHITE).convert("RGB"), WHITE),
        "bits": (Image.fromarray(WHITE > 0), WHITE),
        "wide white": (Image.fromarray(WHITE.astype(np.uint16) * 257), WHITE),
        "empty": (Image.new("RGB", (3, 2)), np.zeros_like(IDS)),
    }


@pytest.mark.parametrize("kind", images())
def test_kinds(tmp_path: Path, kind: str) -> None:
    image, expected = images()[kind]
    image.save(tmp_path / "mask.png")
    found = read_label_map(tmp_path / "mask.png")
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected)


def test_saved_ids_come_back(tmp_path: Path) -> None:
    save_label_map(tmp_path / "mask.png", IDS)
    assert np.array_equal(read_label_map(tmp_path / "mask.png"), IDS)
    assert np.array_equal(np.array(Image.open(tmp_path / "mask.png").convert("RGB")), voc_palette()[IDS])
    assert [file.name for file in tmp_path.iterdir()] == ["mask.png"]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (np.array([[[9, 9, 1]], [[0, 0, 0]]], np.uint8), "colours that are not DAVIS's palette"),
        (np.array([[300, 7]], np.uint16), "the value 300"),
    ],
)
def test_what_holds_no_ids(tmp_path: Path, values: np.ndarray, named: str) -> None:
    Image.fromarray(values).save(tmp_path / "mask.png")
    with pytest.raises(InputError, match=named):
        read_label_map(tmp_path / "mask.png")
