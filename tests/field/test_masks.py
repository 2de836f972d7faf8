"""Masks as people have them: what is an object in them, and what is said."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spvos_cli.data.folders import VideoSequence
from spvos_cli.errors import InputError
from spvos_cli.video.label_files import read_label_map
from spvos_cli.video.mask_opening import fit_mask
from spvos_cli.video.masks import read_mask
from spvos_cli.video.orientation import Orientation
from spvos_cli.video.palettes import indexed_image, voc_palette
from spvos_cli.video.reader import open_source
from tests.conftest import Command
from tests.field.scene import FRAMES, HEIGHT, MASKS, WIDTH, iou, save_frames
from tests.video.writing import MemorySource

FRAME, MASK = FRAMES[0], MASKS[0]
TWO = MASK + 2 * np.pad(MASK, ((0, 0), (60, 0)))[:, :WIDTH] * (1 - MASK)  # ids 1 and 2


def save(image: Image.Image, path: Path) -> Path:
    image.save(path)
    return path


def read(image: Image.Image, path: Path) -> tuple[np.ndarray, str]:
    """Ids, and what was said."""
    notes: list[str] = []
    return read_mask(save(image, path), notes.append).ids, "\n".join(notes)


def palette(*colours: tuple[int, int, int]) -> list[int]:
    return [level for colour in colours for level in colour]


def indexed(values: np.ndarray, *colours: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(values.astype(np.uint8), "P")
    image.putpalette(palette(*colours))
    return image


WHITE, BLACK, RED, BLUE = (255, 255, 255), (0, 0, 0), (250, 20, 20), (20, 30, 240)
HARD_ALPHA = np.dstack([FRAME, MASK * 255])
SOFT_ALPHA = np.dstack([FRAME, np.clip(MASK * 255.0 - (np.arange(WIDTH) % 90), 0, 255).astype(np.uint8)])
GREY_ALPHA = np.dstack([FRAME.mean(axis=2).astype(np.uint8), MASK * 255])
CUTOUTS = {
    "photograph": (Image.fromarray(HARD_ALPHA), "x.png"),
    "black under clear": (Image.fromarray(HARD_ALPHA * (MASK[..., None] > 0)), "x.png"),
    "soft alpha": (Image.fromarray(SOFT_ALPHA), "x.png"),
    "grey": (Image.fromarray(GREY_ALPHA, "LA"), "x.png"),
    "webp": (Image.fromarray(HARD_ALPHA), "x.webp"),
}


@pytest.mark.parametrize("kind", CUTOUTS)
def test_the_alpha_of_a_cutout_is_the_mask(tmp_path: Path, kind: str) -> None:
    image, name = CUTOUTS[kind]
    ids, said = read(image, tmp_path / name)
    assert iou(ids, MASK) > 0.95
    assert ids.max() == 1
    assert "cut out by its transparency" in said


def test_colours_on_clear_ground_are_objects_still(tmp_path: Path) -> None:
    colours = np.array([[0, 0, 0, 0], [*RED, 255], [*BLUE, 255]], np.uint8)
    ids, said = read(Image.fromarray(colours[TWO]), tmp_path / "x.png")
    assert [iou(ids == i, j == TWO) for i, j in ((1, 2), (2, 1))] == [1, 1]  # in the order of their values
    assert said == ""


PALETTES = {
    "white first": indexed(1 - MASK, WHITE, BLACK),
    "red first": indexed(1 - MASK, RED, BLACK),
    "quantized": Image.fromarray(np.dstack([MASK * 255] * 3)).quantize(2),
    "nearly black": indexed(1 - MASK, WHITE, (3, 2, 4)),
    "black last of three": indexed(np.where(MASK, 0, 2), WHITE, RED, BLACK),
    "white ground without black": indexed(1 - MASK, RED, WHITE),
    "black first": indexed(MASK, BLACK, RED),
    "colour of the ground first": indexed(MASK, (128, 64, 128), RED),
}


@pytest.mark.parametrize("suffix", ["png", "gif"])
@pytest.mark.parametrize("kind", PALETTES)
def test_palettes_in_any_order(tmp_path: Path, kind: str, suffix: str) -> None:
    ids, _ = read(PALETTES[kind], tmp_path / f"x.{suffix}")
    assert np.array_equal(ids > 0, MASK > 0)
    assert len(np.unique(ids)) == 2


def test_a_transparent_index_is_the_ground(tmp_path: Path) -> None:
    image = indexed(1 - MASK, WHITE, RED)
    image.save(tmp_path / "x.png", transparency=1)
    assert np.array_equal(read_mask(tmp_path / "x.png").ids, MASK)


def test_indices_stay_where_black_is_first(tmp_path: Path) -> None:
    ids, said = read(indexed(TWO * 7, *[BLACK, *[(i, 99, 9) for i in range(20)]]), tmp_path / "x.png")
    assert (np.unique(ids).tolist(), said) == ([0, 7, 14], "")


def test_colours_on_white_paper(tmp_path: Path) -> None:
    colours = np.array([WHITE, RED], np.uint8)
    ids, said = read(Image.fromarray(colours[MASK]), tmp_path / "x.png")
    assert np.array_equal(ids, MASK)
    assert "nothing in it is black" in said


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_255_beside_small_ids_is_no_object(tmp_path: Path, mode: str) -> None:
    values = TWO.copy()
    values[:10, :10] = 255
    image = Image.fromarray(values) if mode == "L" else indexed_image(values, voc_palette()).convert(mode)
    ids, said = read(image, tmp_path / "x.png")
    assert np.array_equal(ids, np.where(values == 255, 0, values))
    assert "means undecided" in said
    assert np.array_equal(read_label_map(tmp_path / "x.png"), values)  # scoring has its own rule


def test_a_mask_from_a_phone_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    Image.fromarray(np.rot90(MASK) * np.uint8(255)).save(tmp_path / "x.jpg", exif=exif, quality=95)
    assert iou(read_mask(tmp_path / "x.jpg").ids, MASK) > 0.95


def test_255_beside_large_grey_levels_is_an_object(tmp_path: Path) -> None:
    ids, said = read(Image.fromarray(np.array([0, 128, 255], np.uint8)[TWO]), tmp_path / "x.png")
    assert (np.unique(ids).tolist(), said) == ([0, 128, 255], "")
    ids, said = read(Image.fromarray(MASK * np.uint8(255)), tmp_path / "white.png")
    assert (np.unique(ids).tolist(), said) == ([0, 1], "")


def test_strict_reading_hardens_mattes_and_refuses_strange_colours(tmp_path: Path) -> None:
    import cv2

    matte = Image.fromarray(cv2.GaussianBlur(MASK * np.uint8(255), (0, 0), 1.5))
    for name in ("x.png", "x.jpg"):
        found = read_label_map(save(matte, tmp_path / name))
        assert np.unique(found).tolist() == [0, 255]
        assert iou(found, MASK) > 0.95
    with pytest.raises(InputError, match="not DAVIS's palette"):
        read_label_map(
            save(Image.fromarray(np.array([BLACK, (9, 9, 1)], np.uint8)[MASK]), tmp_path / "c.png")
        )


def test_training_reads_the_same_masks(tmp_path: Path) -> None:
    """Colours mean the same object in every frame, in whatever order these are read."""
    colours = np.array([BLACK, BLUE, RED], np.uint8)
    swapped = np.where(MASK == 1, 2, 0)  # the first frame has red alone, the second both
    masks = [save(Image.fromarray(colours[m]), tmp_path / f"{t}.png") for t, m in enumerate((swapped, TWO))]
    white = save(Image.fromarray(MASK * np.uint8(255)), tmp_path / "white.png")
    for order in ((0, 1), (1, 0)):
        sequence = VideoSequence(f"{order}", tuple(masks), tuple(masks[i] for i in order))
        found = {i: sequence.read_mask(order.index(i)) for i in order}
        assert np.array_equal(found[0] == 2, MASK == 1)
        assert np.array_equal(found[1], TWO)
    assert np.array_equal(VideoSequence("w", (white,), (white,)).read_mask(0), MASK)


def test_a_mask_of_the_size_that_players_show(tmp_path: Path) -> None:
    source, notes = MemorySource(WIDTH, HEIGHT), []
    source.pixel_aspect = Fraction(3, 2)
    shown = np.array(Image.fromarray(MASK).resize((240, 96), 0))
    assert iou(fit_mask(shown, source, "m.png", notes.append), MASK) > 0.95
    assert "as the video is shown" in notes[0]
    with pytest.raises(InputError, match=r"expected the frames' 160x96 \(shown as 240x96\)"):
        fit_mask(shown[:, :100], source, "m.png")


def test_a_mask_that_was_not_turned_with_its_video() -> None:
    source, notes = MemorySource(HEIGHT, WIDTH), []
    source.orientation = Orientation(mirrored=False, turns=1)
    assert np.array_equal(fit_mask(MASK, source, "m.png", notes.append), np.rot90(MASK))
    assert "rotated by 90 degrees" in notes[0]


def test_inverted_masks_are_noticed_and_given_masks_come_out_exactly(tmp_path: Path, spvos: Command) -> None:
    save_frames(tmp_path / "f", [f"{t}.png" for t in range(3)])
    thin = MASK.copy()
    thin[5, 100:140] = 1  # a line that no network's grid holds
    save(Image.fromarray(thin * np.uint8(255)), tmp_path / "m.png")
    save(Image.fromarray((1 - MASK) * np.uint8(255)), tmp_path / "inv.png")
    code, _, said = spvos("segment f --mask m.png -o out --size 48 --threads 1")
    assert code == 0, said
    assert "inverted" not in said
    assert np.array_equal(np.array(Image.open(tmp_path / "out/0.png")), thin)
    code, _, said = spvos("segment f --mask inv.png -o inv --size 48 --threads 1")
    assert code == 0, said
    assert "touches all four borders: is the mask inverted?" in said


def test_empty_masks_say_that_the_object_is_away(tmp_path: Path, spvos: Command) -> None:
    save_frames(tmp_path / "f", [f"{t}.png" for t in range(6)])
    (tmp_path / "m").mkdir()
    for t in (0, 3, 5):
        save(Image.fromarray(MASKS[t] * np.uint8(0 if t == 3 else 255)), tmp_path / f"m/{t}.png")
    code, _, said = spvos("segment f --mask m -o out --size 48 --threads 1")
    assert code == 0, said
    assert "1 empty masks: no object is there (frame 3)" in said
    areas = [int((np.array(Image.open(tmp_path / f"out/{t}.png")) > 0).sum()) for t in range(6)]
    assert areas[3] == 0
    assert min(areas[0], areas[1], areas[5]) > 0
    for t in (0, 5):
        save(Image.fromarray(MASK * 0), tmp_path / f"m/{t}.png")
    code, _, said = spvos("segment f --mask m -o none --size 48 --threads 1")
    assert code == 2
    assert "no object" in said
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("number", range(1, 9))
def test_a_mask_that_was_not_turned_with_its_photographs(tmp_path: Path, number: int) -> None:
    """EXIF turns frames as a display matrix does; tools that ignore it make masks of the stored picture."""
    exif = Image.Exif()
    exif[0x0112] = number
    Image.fromarray(FRAMES[0]).save(tmp_path / "f.jpg", exif=exif, quality=95)
    source = open_source(str(tmp_path / "f.jpg"))
    upright = source.orientation.apply(FRAMES[0])
    assert np.abs(next(iter(source)).image.astype(int) - upright).mean() < 6
    if source.orientation.on_its_side:
        notes: list[str] = []
        fitted = fit_mask(MASKS[0], source, "m.png", notes.append)
        assert np.array_equal(fitted, source.orientation.apply(MASKS[0]))
        assert "the mask is turned" in notes[0]
