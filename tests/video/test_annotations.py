"""Masks, boxes and clicks for several frames: who is who, and what is said about what is odd."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from spvos_cli.errors import InputError
from spvos_cli.video.annotations import Annotations
from spvos_cli.video.frames import Frame
from spvos_cli.video.grab_cut import suggest_with_grab_cut
from spvos_cli.video.masks import read_mask
from spvos_cli.video.moments import Moment, Range, split_moment
from spvos_cli.video.palettes import recolour, voc_palette
from spvos_cli.video.suggest import Prompts, Suggest
from tests.conftest import make_frame, write_mask
from tests.video.writing import MemorySource

IDS = make_frame(0)[1]


def frame(index: int) -> Frame:
    return Frame(index, make_frame(index)[0], f"{index:05d}", index, (), index / 25)


def annotations(
    *masks: str,
    box: tuple[str, ...] = (),
    click: tuple[str, ...] = (),
    suggest: Suggest = suggest_with_grab_cut,
) -> tuple[Annotations, list[str]]:
    notes: list[str] = []
    return Annotations(masks, box, MemorySource(), notes.append, clicks=click, suggest=suggest), notes


def white(path: Path, ids: np.ndarray) -> Path:
    Image.fromarray((ids > 0).astype(np.uint8) * 255).save(path)
    return path


def test_masks_come_with_their_frames(tmp_path: Path) -> None:
    first = write_mask(tmp_path / "a.png", np.where(IDS == 1, 1, 0).astype(np.uint8))
    later = write_mask(tmp_path / "b.png", np.where(IDS == 2, 9, 0).astype(np.uint8))
    given, notes = annotations(str(first), f"0.12s:{later}")
    assert (given.objects, notes) == ([1, 9], [])
    found = [given.at(frame(t)) for t in range(5)]
    assert [mask is not None for mask in found] == [True, False, False, True, False]
    assert np.array_equal(found[3] == 9, IDS == 2)
    assert given.unused == []


def test_a_folder_of_masks(tmp_path: Path) -> None:
    for index in (0, 10, 2):
        write_mask(tmp_path / f"{index:05d}.png", IDS)
    given, _ = annotations(str(tmp_path))
    assert [g.moment.frame for g in given.given] == [0, 2, 10]
    write_mask(tmp_path / "other.png", IDS)
    with pytest.raises(InputError, match=r"other\.png belongs to no frame"):
        annotations(str(tmp_path))


def test_a_number_with_zeros_is_the_same_frame(tmp_path: Path) -> None:
    assert split_moment("0007:x")[0] == split_moment("7:x")[0] == Moment(7)
    assert split_moment("7s:x")[0] == split_moment("7.00s:x")[0] == Moment(seconds=7.0) != Moment(7)
    assert (str(Moment(7)), str(Moment(seconds=12.5))) == ("7", "12.5s")
    given, _ = annotations(f"0003:{write_mask(tmp_path / 'a.png', IDS)}")
    assert [given.awaits(frame(t)) for t in (2, 3)] == [False, True]
    backwards = {t: given.at(frame(t), backwards=True) is not None for t in (5, 4, 3, 2)}
    assert backwards == {5: False, 4: False, 3: True, 2: False}


def test_black_and_white_masks_of_one_frame_are_objects_each(tmp_path: Path) -> None:
    one, two = white(tmp_path / "a.png", IDS == 1), white(tmp_path / "b.png", IDS == 2)
    given, notes = annotations(str(one), str(two))
    assert given.objects == [1, 2]
    assert np.array_equal(given.at(frame(0)), IDS)
    assert len(notes) == 1
    assert "object 2" in notes[0]


def test_ids_given_twice_and_masks_that_disagree(tmp_path: Path) -> None:
    one = write_mask(tmp_path / "a.png", IDS)
    two = write_mask(tmp_path / "b.png", np.where(IDS == 1, 2, 0).astype(np.uint8))
    given, notes = annotations(str(one), str(two))
    assert len(notes) == 2
    assert "id 2 is given twice on frame 0" in notes[0]
    assert "disagrees with an earlier mask on 900 pixels of frame 0" in notes[1]
    assert np.array_equal(given.at(frame(0)) == 2, IDS > 0)


def test_a_colour_is_the_same_object_in_all_masks(tmp_path: Path) -> None:
    colours = np.array([[0, 0, 0], [250, 10, 10], [10, 250, 10]], np.uint8)
    Image.fromarray(colours[IDS]).save(tmp_path / "a.png")
    Image.fromarray(colours[np.where(IDS == 2, 2, 0)]).save(tmp_path / "b.png")
    given, _ = annotations(str(tmp_path / "a.png"), f"3:{tmp_path / 'b.png'}")
    id_of_green = given.at(frame(0))[IDS == 2][0]
    assert given.palette[id_of_green].tolist() == [10, 250, 10]
    assert set(np.unique(given.at(frame(3)))) == {0, id_of_green}


def test_a_mask_of_a_frame_that_is_passed_over(tmp_path: Path) -> None:
    given, _ = annotations(f"3:{write_mask(tmp_path / 'a.png', IDS)}")
    assert given.at(frame(2)) is None
    with pytest.raises(InputError, match="frame 3 is passed over"):
        given.at(frame(4))


def test_a_box_finds_the_object_in_it() -> None:
    given, _ = annotations(box=("5,12,50,48", "4:70,40,60,60"))
    assert given.objects == [1, 2]
    found = given.at(frame(0))
    assert ((found == 1) & (IDS == 1)).sum() / ((found == 1) | (IDS == 1)).sum() > 0.8
    assert set(np.unique(given.at(frame(4)))) == {0, 2}


class Asked:
    """A `Suggest` that finds the box, and a square about each positive click, and keeps what it was asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[Prompts, int]] = []

    def __call__(self, frame: np.ndarray, prompts: Prompts, previous: np.ndarray) -> np.ndarray:
        self.seen.append((prompts, int(previous.sum())))
        found = previous.copy()
        if prompts.box:
            found[prompts.box.y :, prompts.box.x :][: prompts.box.height, : prompts.box.width] = True
        for x, y, positive in prompts.clicks:
            found[y - 2 : y + 3, x - 2 : x + 3] = positive
        return found


def test_clicks_make_an_object_or_say_more_of_the_one_that_is_there() -> None:
    asked = Asked()
    box, clicks = ("5,12,20,10",), ("15,15-", "4:70,40", "4:80,50-", "4:75,40+")
    given, notes = annotations(box=box, click=clicks, suggest=asked)
    assert (given.objects, notes) == ([1, 2], [])
    first, later = given.at(frame(0)), given.at(frame(4))
    assert ((first == 1).sum(), (later == 2).sum()) == (200 - 25, 25 + 25)
    assert [(bool(p.box), [c.positive for c in p.clicks], area) for p, area in asked.seen] == [
        (True, [], 0),
        (True, [False], 200),
        (False, [True], 0),
        (False, [True, False], 25),
        (False, [True, False, True], 25),
    ]


def test_a_click_corrects_a_mask(tmp_path: Path) -> None:
    """The object that is meant is named where there are several; the other one stays as it is."""
    mask = str(write_mask(tmp_path / "a.png", IDS))
    with pytest.raises(InputError, match=r"2 objects in frame 0.*--click 1=20,30-"):
        annotations(mask, click=("20,30-",))
    given, _ = annotations(mask, click=("2=5,5", "1=20,30-", "3=60,80"), suggest=Asked())
    assert given.objects == [1, 2, 3]
    found = given.at(frame(0))
    assert [(found == i).sum() for i in (1, 2, 3)] == [(IDS == 1).sum() - 25, (IDS == 2).sum() + 25, 25]


@pytest.mark.parametrize(
    ("click", "error"),
    {
        ("5,5-",): "only what does not belong to it",
        ("5,-5",): "no click",
        ("0=5,5",): "no click",
        ("128,5",): "outside of the frame; expected a pixel of 128x96",
        ("256=5,5",): "the id 256",
    }.items(),
)
def test_clicks_that_mean_nothing(click: tuple[str, ...], error: str) -> None:
    with pytest.raises(InputError, match=error):
        annotations(click=click)


def test_where_nothing_is_found_it_is_said() -> None:
    def nothing(frame: np.ndarray, prompts: Prompts, previous: np.ndarray) -> np.ndarray:
        return np.zeros_like(previous)

    given, notes = annotations(box=("5,12,20,10",), click=("2=60,80",), suggest=nothing)
    assert np.unique(given.at(frame(0)), return_counts=True)[1].tolist() == [96 * 128 - 200, 200]
    assert [("the whole box is taken" in note, "no object is found" in note) for note in notes] == [
        (True, False),
        (False, True),
    ]


def test_names_of_objects(tmp_path: Path) -> None:
    """What `annotate` leaves beside masks, and what files are called."""
    write_mask(tmp_path / "00000.png", IDS)
    (tmp_path / "objects.json").write_text('{"1": {"name": "cat"}, "2": {"name": ""}, "x": {}, "3": 4}')
    assert annotations(str(tmp_path))[0].names == {1: "cat"}
    for broken in ("[1]", "{", ""):
        (tmp_path / "objects.json").write_text(broken)
        assert annotations(str(tmp_path))[0].names == {}
    assert annotations(box=("5,12,50,48",))[0].names == {}


def test_range() -> None:
    class Counting(MemorySource):
        def __iter__(self):
            return map(frame, range(20))

    def chosen(*given: object) -> list[int]:
        return [f.index for f in Range(*given).select(Counting())]

    assert chosen(split_moment("3:x")[0], split_moment("12:x")[0], 4) == [3, 7, 11]
    assert chosen(split_moment("0.2s:x")[0]) == list(range(5, 20))
    assert [f.pts for f in Range(split_moment("3:x")[0]).select(Counting())][:2] == [0, 1]


@pytest.mark.parametrize("thickness", ["anti-aliased", "jpeg", "grey jpeg", "webp"])
def test_soft_edges_are_no_objects(tmp_path: Path, thickness: str) -> None:
    large = Image.new("RGB", (1024, 768))
    draw = ImageDraw.Draw(large)
    draw.ellipse((100, 100, 500, 500), fill=(250, 20, 20))
    draw.rectangle((400, 300, 900, 700), fill=(30, 40, 240))
    draw.polygon([(600, 350), (850, 400), (650, 650)], fill=(128, 20, 130))  # between the others in colour
    image = large.resize((256, 192), Image.Resampling.LANCZOS)
    hard = np.array(large.resize((256, 192), Image.Resampling.NEAREST)).any(axis=2)
    objects = 3
    if thickness == "grey jpeg":
        image, objects = image.convert("L").point(lambda v: 255 if v > 30 else 0).convert("L"), 1
        image = image.resize((255, 191), Image.Resampling.BILINEAR).resize((256, 192))
    path = tmp_path / (
        "m.png" if thickness == "anti-aliased" else "m.webp" if thickness == "webp" else "m.jpg"
    )
    image.save(path, quality=85)
    notes: list[str] = []
    mask = read_mask(path, notes.append)
    assert len(np.unique(mask.ids)) == objects + 1
    assert np.mean((mask.ids > 0) == hard) > 0.97
    assert len(notes) == 1
    assert "soft edges were merged" in notes[0]


def test_thin_objects_stay(tmp_path: Path) -> None:
    ids = np.zeros((60, 80), np.uint8)
    ids[10:40, 10:40], ids[50, 5:70] = 2, 1
    path = write_mask(tmp_path / "m.png", ids)
    notes: list[str] = []
    assert np.array_equal(read_mask(path, notes.append).ids, ids)
    assert notes == []


def test_a_photograph_is_no_mask(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80), np.uint8)
    Image.fromarray(noise).save(tmp_path / "m.png")
    with pytest.raises(InputError, match="hardly any of them in flat areas"):
        read_mask(tmp_path / "m.png")


def test_sixteen_bits(tmp_path: Path) -> None:
    values = np.zeros((30, 40), np.uint16)
    values[:10, :10], values[15:25, 15:25] = 7, 300
    Image.fromarray(values).save(tmp_path / "m.png")
    notes: list[str] = []
    mask = read_mask(tmp_path / "m.png", notes.append)
    assert np.array_equal(mask.ids, np.select([values == 7, values == 300], [7, 1]))
    assert "7 is 7, 300 is 1" in notes[0]


def test_colours_of_the_user() -> None:
    palette = recolour(voc_palette(), "red,7=#010203,blue", [3, 5])
    assert palette[[3, 5, 7]].tolist() == [[255, 0, 0], [0, 0, 255], [1, 2, 3]]
    for bad in ("reddish", "300=red", "0=red", "x=red"):
        with pytest.raises(InputError):
            recolour(voc_palette(), bad, [1])
