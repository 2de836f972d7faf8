"""Masks that are pictures: cut out on a plain ground, compositors' mattes, maps of classes in any colours."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.video.masks import Mask, MaskReader
from spvos_cli.video.palettes import voc_palette
from tests.field.making import encode
from tests.field.scene import FRAMES, MASKS, iou
from tests.field.test_mask_files import given

PHOTO, MASK = FRAMES[0], MASKS[0]
SECOND = (np.roll(MASK, 60, axis=1) > 0) & (MASK == 0)
TWO = (MASK + 2 * SECOND).astype(np.uint8)


def read(path: Path) -> tuple[Mask, str]:
    notes: list[str] = []
    return MaskReader(notes.append).read(path), "\n".join(notes)


def on(ground: tuple[int, int, int]) -> np.ndarray:
    return np.where(MASK[..., None] > 0, PHOTO, np.uint8(ground))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tga", "webp"])
@pytest.mark.parametrize("ground", [(255, 255, 255), (0, 0, 0), (0, 255, 0), (245, 240, 230)], ids=str)
def test_a_photograph_on_a_plain_ground(tmp_path: Path, ground: tuple[int, int, int], suffix: str) -> None:
    """A cut-out whose alpha was lost: as a JPEG, or laid on white by a shop."""
    Image.fromarray(on(ground)).save(tmp_path / f"m.{suffix}", quality=95, subsampling=0)
    mask, said = read(tmp_path / f"m.{suffix}")
    assert iou(mask.ids, MASK) > 0.93
    assert mask.ids.max() == 1
    assert "plain ground" in said


def test_a_photograph_in_grey_on_black_has_no_holes(tmp_path: Path) -> None:
    grey = np.where(MASK > 0, PHOTO.mean(axis=2), 0).astype(np.uint8)
    y, x = (int(v.mean()) for v in np.nonzero(MASK))
    grey[y - 2 : y + 3, x - 2 : x + 3] = 0
    Image.fromarray(grey).save(tmp_path / "m.png")
    assert iou(read(tmp_path / "m.png")[0].ids, MASK) > 0.98


def test_a_tinted_photograph_and_scoring_refuse(tmp_path: Path) -> None:
    Image.fromarray(np.where(MASK[..., None] > 0, PHOTO // 2 + 90, PHOTO)).save(tmp_path / "o.png")
    with pytest.raises(InputError, match="hardly any of them in flat areas"):
        read(tmp_path / "o.png")
    Image.fromarray(on((255, 255, 255))).save(tmp_path / "m.png")
    with pytest.raises(InputError, match=r"m\.png"):
        MaskReader(strict=True).read(tmp_path / "m.png")


@pytest.mark.parametrize("suffix", ["gif", "png"])
def test_a_cutout_in_few_colours(tmp_path: Path, suffix: str) -> None:
    """Its transparent index is the first or any other."""
    image = Image.fromarray(np.dstack([PHOTO, MASK * np.uint8(255)]))
    (image if suffix == "gif" else image.quantize(200)).save(tmp_path / f"m.{suffix}")
    assert Image.open(tmp_path / f"m.{suffix}").mode == "P"
    mask, said = read(tmp_path / f"m.{suffix}")
    assert iou(mask.ids, MASK) > 0.98
    assert mask.ids.max() == 1
    assert "cut out by its transparency" in said


@pytest.mark.parametrize(
    ("suffix", "pixels"), [("exr", "gbrpf32le"), ("exr", "gbrapf32le"), ("dpx", "gbrp10le"), ("jls", "gray")]
)
def test_mattes_of_compositors(tmp_path: Path, suffix: str, pixels: str) -> None:
    encode(tmp_path / f"m.{suffix}", [np.dstack([MASK * np.uint8(255)] * 3)], "-pix_fmt", pixels)
    mask, _ = read(tmp_path / f"m.{suffix}")
    assert np.array_equal(mask.ids, MASK)
    encode(tmp_path / f"c.{suffix}", [voc_palette()[TWO]], "-pix_fmt", pixels.replace("gray", "rgb24"))
    assert np.array_equal(read(tmp_path / f"c.{suffix}")[0].ids, TWO)


@pytest.mark.parametrize("top", [0.93, 1.0])
def test_probabilities_in_tiff(tmp_path: Path, top: float) -> None:
    soft = cv2.GaussianBlur(MASK.astype(np.float32), (0, 0), 2) * np.float32(top)
    Image.fromarray(soft).save(tmp_path / "m.tif")
    assert iou(read(tmp_path / "m.tif")[0].ids, MASK) > 0.9


def test_ids_above_255_are_numbered_anew_alike_in_all_masks(tmp_path: Path) -> None:
    """KITTI's instances: a class, and a number in it."""
    reader = MaskReader((notes := []).append)
    for name, values in (("a", {1: 2002, 2: 1001}), ("b", {1: 2002}), ("c", {1: 7, 2: 2})):
        table = np.array([0, values.get(1, 0), values.get(2, 0)], np.uint16)
        Image.fromarray(table[TWO]).save(tmp_path / f"{name}.png")
    found = [reader.read(tmp_path / f"{name}.png").ids for name in "abc"]
    assert np.array_equal(found[0], np.array([0, 2, 1])[TWO])
    assert np.array_equal(found[1] > 0, MASK > 0)
    assert np.array_equal(found[2], np.array([0, 7, 3])[TWO])  # 2 is taken
    assert "1001 is 1, 2002 is 2" in notes[0]


GROUNDS = {  # colours of the ground and of two objects
    "viridis": [(68, 1, 84), (33, 145, 140), (253, 231, 37)],
    "paper": [(255, 255, 255), (200, 0, 0), (0, 0, 200)],
}


@pytest.mark.parametrize("kind", GROUNDS)
def test_the_ground_is_the_colour_all_around(tmp_path: Path, kind: str) -> None:
    Image.fromarray(np.array(GROUNDS[kind], np.uint8)[TWO]).save(tmp_path / "m.png")
    mask, said = read(tmp_path / "m.png")
    assert np.array_equal(mask.ids > 0, TWO > 0)
    assert len(np.unique(mask.ids)) == 3
    assert "border" in said


def test_the_ground_of_two_greys(tmp_path: Path) -> None:
    Image.fromarray(np.where(MASK > 0, 2, 1).astype(np.uint8)).save(tmp_path / "m.png")
    mask, said = read(tmp_path / "m.png")
    assert np.array_equal(mask.ids > 0, MASK > 0)
    assert "border" in said
    whole = np.ones_like(MASK)
    whole[:, :80] = 3  # a map without a ground: every pixel is something
    Image.fromarray(whole).save(tmp_path / "w.png")
    assert np.array_equal(read(tmp_path / "w.png")[0].ids, whole)


RGB = [(0, 0, 0), (255, 0, 0), (0, 255, 0)]


def indexed(ids: np.ndarray, order: tuple[int, ...]) -> Image.Image:
    """In a palette whose entries are these of RGB."""
    image = Image.fromarray(np.argsort(order).astype(np.uint8)[ids], "P")
    image.putpalette([value for entry in order for value in RGB[entry]])
    return image


@pytest.mark.parametrize("second", ["another order", "colours", "one less"])
def test_a_colour_is_one_object_whatever_its_place_in_palettes(tmp_path: Path, second: str) -> None:
    """Quantizing sorts the palette of each mask by how often its colours are there."""
    images = {
        "another order": indexed(TWO, (0, 2, 1)),
        "colours": Image.fromarray(np.array(RGB, np.uint8)[TWO]),
        "one less": indexed(TWO * (TWO == 2), (0, 2, 1)),
    }
    reader = MaskReader((notes := []).append)
    for name, image in (("a", indexed(TWO, (0, 1, 2))), ("b", images[second])):
        image.save(tmp_path / f"{name}.png")
    assert np.array_equal(reader.read(tmp_path / "a.png").ids, TWO)
    expected = TWO * (TWO == 2) if second == "one less" else TWO
    assert np.array_equal(reader.read(tmp_path / "b.png").ids, expected)
    assert ("its colours count" in "".join(notes)) == (second != "colours")


def test_ids_hold_where_only_their_colours_were_changed(tmp_path: Path) -> None:
    """As spvos writes them with --colours, beside masks in DAVIS's."""
    reader = MaskReader()
    for name, palette in (("a", voc_palette()), ("b", np.roll(voc_palette(), 7, axis=0))):
        image = Image.fromarray(TWO, "P")
        palette[0] = 0
        image.putpalette(palette.ravel().tolist())
        image.save(tmp_path / f"{name}.png")
        assert np.array_equal(reader.read(tmp_path / f"{name}.png").ids, TWO)


def test_the_frames_of_a_gif_are_one_kind(tmp_path: Path) -> None:
    """Pillow gives the first one's indices and the others' colours."""
    first, second = (indexed(ids, (0, 1, 2)) for ids in (MASK, TWO))
    first.save(tmp_path / "m.gif", save_all=True, append_images=[second])
    found, _ = given(str(tmp_path / "m.gif"))
    assert np.array_equal(found[0], MASK)
    assert np.array_equal(found[1], TWO)


def test_the_same_remark_about_many_masks_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    for t in range(4):
        Image.fromarray(cv2.GaussianBlur(MASKS[t] * np.uint8(255), (0, 0), 1.5)).save(tmp_path / f"m/{t}.png")
    said = given(str(tmp_path / "m"))[1].splitlines()
    assert len(said) == 1
    assert "on soft edges" in said[0]
    assert said[0].endswith("(4 such masks)")
