"""Masks that are no images, and names and numbers as other tools write them."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.video.annotations import Annotations
from spvos_cli.video.frames import Frame, Source
from spvos_cli.video.palettes import indexed_image, voc_palette
from spvos_cli.video.reader import open_source
from tests.conftest import Command
from tests.field.scene import FRAMES, HEIGHT, LENGTH, MASKS, WIDTH, folder_source, iou, save_frames
from tests.video.writing import MemorySource

MASK = MASKS[0]


class Clip(MemorySource):
    """A video of the scene's length, numbered from 0."""

    frames = LENGTH


def given(text: str, source: Source | None = None) -> tuple[dict[int, np.ndarray], str]:
    """The masks by frame, and what was said."""
    notes: list[str] = []
    source = source or Clip(WIDTH, HEIGHT)
    annotations = Annotations([text], [], source, notes.append)
    found = {}
    for t in range(LENGTH):
        mask = annotations.at(Frame(t, FRAMES[t], "", t, (), t / 25))
        if mask is not None:
            found[t] = mask
    return found, "\n".join(notes)


def masks_named(folder: Path, names: dict[str, int], suffix: str = ".png") -> Path:
    """White masks: a name (without suffix) -> the frame whose mask it is."""
    folder.mkdir(exist_ok=True)
    for name, t in names.items():
        Image.fromarray(MASKS[t] * np.uint8(255)).save(folder / f"{name}{suffix}")
    return folder


NAMES = {  # of frames (None: a video), and of masks: as exported for frames 0 and 3
    "CVAT, a video": (None, "frame_{:06d}", 0),
    "CVAT, images": ("frame_{:06d}.png", "frame_{:06d}", 0),
    "DAVIS": ("{:05d}.jpg", "{:05d}", 0),
    "plates from 1001": ("sh010_plate.{}.png", "sh010_roto.{}", 1001),
    "ffmpeg": ("{:05d}.png", "{:05d}", 1),
    "other words, a version": ("shot_v2_{:04d}.png", "matte_{:04d}_v3", 100),
    "Label Studio": ("{:05d}.png", "task-{}-annotation-9-by-1-tag-Ball-0", 0),
}


@pytest.mark.parametrize("kind", NAMES)
def test_masks_are_found_by_name_or_number(tmp_path: Path, kind: str) -> None:
    frames, masks, first = NAMES[kind]
    source = None
    if frames:
        source = folder_source(tmp_path / "f", [frames.format(first + t) for t in range(LENGTH)])
    folder = masks_named(tmp_path / "m", {masks.format(first + t): t for t in (0, 3)})
    found, said = given(str(folder), source)
    assert {t: iou(mask, MASKS[t]) for t, mask in found.items()} == {0: 1.0, 3: 1.0}
    assert said == ""


def test_names_of_label_studio_say_which_object(tmp_path: Path) -> None:
    """A black-and-white image an object and frame: the tag tells them apart, in whatever order they come."""
    (tmp_path / "m").mkdir()
    two = {"Cat": MASK, "Dog": np.roll(MASK, 60, axis=1)}
    for task, tags in ((1, ("Cat", "Dog")), (2, ("Dog",))):
        for tag in tags:
            name = f"task-{task}-annotation-{task + 6}-by-1-tag-{tag}-0.png"
            Image.fromarray(two[tag] * np.uint8(255)).save(tmp_path / "m" / name)
    found, _ = given(str(tmp_path / "m"))
    assert np.array_equal(found[1] == 1, two["Cat"] > 0)
    assert np.array_equal(found[1] == 2, (two["Dog"] > 0) & (two["Cat"] == 0))
    assert np.array_equal(found[2] == 2, two["Dog"] > 0)
    assert 1 not in found[2]


@pytest.mark.parametrize("first", [1, 1001])
def test_a_mask_for_each_frame_numbered_otherwise(tmp_path: Path, first: int) -> None:
    folder = masks_named(tmp_path / "m", {f"{first + t:05d}": t for t in range(LENGTH)})
    found, said = given(str(folder))
    assert [iou(found[t], MASKS[t]) for t in range(LENGTH)] == [1.0] * LENGTH
    assert f"frames 0 to {LENGTH - 1}: off by {first}" in said


def test_some_masks_that_count_from_1(tmp_path: Path) -> None:
    """The last would be beyond the end: it cannot count from 0."""
    found, said = given(str(masks_named(tmp_path / "m", {"00001": 0, f"{LENGTH:05d}": LENGTH - 1})))
    assert sorted(found) == [0, LENGTH - 1]
    assert "off by 1" in said
    found, said = given(str(masks_named(tmp_path / "n", {"00001": 1, "00003": 3})))
    assert (sorted(found), said) == ([1, 3], "")


def test_numbers_are_those_of_the_files(tmp_path: Path, spvos: Command) -> None:
    names = [f"sh010.{n}.png" for n in (1001, 1002, 1005, 1006)]
    save_frames(tmp_path / "f", names)
    Image.fromarray(MASK * np.uint8(255)).save(tmp_path / "m.png")
    run = "segment f --size 48 --threads 1 -o out --overwrite"
    code, _, said = spvos(f"{run} --mask 1005:m.png --start 1002 --end 1006")
    assert code == 0, said
    assert sorted(p.name for p in Path("out").iterdir()) == ["sh010.1002.png", "sh010.1005.png"]
    assert not np.array(Image.open("out/sh010.1002.png")).any()
    for options, what in (("--mask 1003:m.png", "1003"), ("--mask m.png --start 7", "--start 7")):
        code, _, said = spvos(f"{run.replace('out', 'none')} {options}")
        assert code == 2
        assert what in said
        assert "1001 to 1006" in said
        assert not Path("none").exists()


def test_messages_call_frames_by_their_files_numbers(tmp_path: Path, spvos: Command) -> None:
    save_frames(tmp_path / "f", [f"sh.{n}.png" for n in (1001, 1002, 1003)])
    Image.fromarray(MASK * np.uint8(255)).save(tmp_path / "m.png")
    code, _, said = spvos("segment f --mask 1001:m.png --start 1002 -o out --size 48")
    assert code == 2
    assert "frame 1001 is passed over" in said


def test_of_many_masks_those_of_other_frames_are_left_out(tmp_path: Path, spvos: Command) -> None:
    save_frames(tmp_path / "f", [f"{t}.png" for t in range(LENGTH)])
    np.save(tmp_path / "m.npy", np.stack(MASKS))
    code, _, said = spvos("segment f --mask m.npy --start 1 --stride 2 --end 5 -o out --size 48 --threads 1")
    assert code == 0, said
    assert f"{LENGTH - 2} masks of frames that are passed over are not used" in said
    assert sorted(p.name for p in Path("out").iterdir()) == ["1.png", "3.png"]
    longer = 2 * np.stack(MASKS * 2)
    np.save(tmp_path / "long.npy", longer)
    code, _, said = spvos("segment f --mask long.npy -o long --size 48 --threads 1")
    assert code == 0, said
    assert len([line for line in said.splitlines() if "beyond the end" in line]) == 1


def test_what_is_beyond_the_end_of_a_video_is_refused_at_once(
    video: Path, mask: Path, spvos: Command
) -> None:
    for options, what in (
        (f"--mask 1001:{mask}", "frame 1001"),
        (f"--mask {mask} --start 900", "--start 900"),
    ):
        code, _, said = spvos(f"segment {video} {options} -o out --size 48")
        assert code == 2
        assert what in said
        assert "beyond the end" in said
        assert not Path("out").exists()


def test_frames_and_masks_in_one_folder(tmp_path: Path) -> None:
    for t in range(LENGTH):
        save_frames(tmp_path / "f", [f"{t:04d}.jpg"], [FRAMES[t]])
        indexed_image(MASKS[t], voc_palette()).save(tmp_path / "f" / f"{t:04d}.png")
    notes: list[str] = []
    source = open_source(str(tmp_path / "f"), note=notes.append)
    assert source.frames == LENGTH
    assert f"{LENGTH} images are taken for masks" in notes[0]
    found, _ = given(str(tmp_path / "f"), source)
    assert [iou(found[t], MASKS[t]) for t in range(LENGTH)] == [1.0] * LENGTH


def test_masks_with_a_word_more_in_their_names(tmp_path: Path) -> None:
    for t in range(3):
        save_frames(
            tmp_path / "f", [f"{t:04d}.png", f"{t:04d}_mask.png"], [FRAMES[t], MASKS[t] * np.uint8(255)]
        )
    assert open_source(str(tmp_path / "f")).frames == 3


def test_two_kinds_of_images_that_could_both_be_the_frames(tmp_path: Path) -> None:
    save_frames(tmp_path / "f", ["0.png", "0.tif", "1.png", "1.tif"])
    with pytest.raises(InputError, match=r"suffixes \.png, \.tif; expected frames alone \(a glob in quotes"):
        open_source(str(tmp_path / "f"))


def test_a_folder_that_a_tool_exported(tmp_path: Path) -> None:
    (tmp_path / "e").mkdir()
    masks_named(tmp_path / "e" / "SegmentationClass", {"frame_000000": 1})
    masks_named(tmp_path / "e" / "SegmentationObject", {"frame_000000": 0})
    found, _ = given(str(tmp_path / "e"))
    assert iou(found[0], MASK) == 1


ARRAYS = {
    "ids": MASK * np.uint8(3),
    "bools": MASK > 0,
    "probabilities": MASK * np.float32(0.9),
    "a channel": (MASK > 0)[..., None],
    "a batch": (MASK > 0)[None],
    "white": MASK * np.uint8(255),
    "long": MASK.astype(np.int64),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays(tmp_path: Path, kind: str) -> None:
    np.save(tmp_path / "m.npy", ARRAYS[kind])
    np.savez_compressed(tmp_path / "m.npz", masks=ARRAYS[kind])
    for name in ("m.npy", "m.npz"):
        found, _ = given(str(tmp_path / name))
        assert iou(found[0], MASK) == 1
        assert found[0].max() == (3 if kind == "ids" else 1)


def test_arrays_of_many_masks(tmp_path: Path) -> None:
    np.save(tmp_path / "frames.npy", np.stack(MASKS))
    found, _ = given(str(tmp_path / "frames.npy"))
    assert [iou(found[t], MASKS[t]) for t in range(LENGTH)] == [1.0] * LENGTH
    np.save(tmp_path / "objects.npy", np.stack([MASK > 0, np.roll(MASK, 60, axis=1) > 0]))
    found, _ = given(f"2:{tmp_path / 'objects.npy'}")
    assert (sorted(found), np.unique(found[2]).tolist()) == ([2], [0, 1, 2])


@pytest.mark.parametrize("values", [np.array([{}]), np.zeros((2, 2, 2, 2)), MASK.astype(np.int16) * -3])
def test_arrays_that_are_no_masks(tmp_path: Path, values: np.ndarray) -> None:
    np.save(tmp_path / "m.npy", values, allow_pickle=True)
    with pytest.raises(InputError, match=r"m\.npy: "):
        given(str(tmp_path / "m.npy"))


def test_labelme(tmp_path: Path) -> None:
    square = {"label": "box", "points": [[20, 10], [60, 50]], "shape_type": "rectangle", "group_id": None}
    corners = [[80, 20], [120, 20], [120, 60], [80, 60]]
    shape = {"label": "cat", "points": corners, "shape_type": "polygon", "group_id": None}
    for name, shapes in (("00000", [square, shape]), ("00003", [shape])):
        text = json.dumps(
            {"shapes": shapes, "imageHeight": HEIGHT, "imageWidth": WIDTH, "imagePath": "x.jpg"}
        )
        (tmp_path / "m").mkdir(exist_ok=True)
        (tmp_path / "m" / f"{name}.json").write_text(text)
    found, _ = given(str(tmp_path / "m"))
    assert (found[0][30, 40], found[0][40, 100], found[3][40, 100], found[3][30, 40]) == (1, 2, 2, 0)
    alone, _ = given(f"2:{tmp_path / 'm' / '00000.json'}")
    assert np.array_equal(alone[2], found[0])


@pytest.mark.parametrize("kind", ["polygons", "runs", "text"])
def test_coco(tmp_path: Path, kind: str) -> None:
    from pycocotools import mask as coco

    square = np.zeros((HEIGHT, WIDTH), np.uint8)
    square[10:50, 20:60] = 1
    text = coco.encode(np.asfortranarray(square))
    flat = square.ravel(order="F")
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], flat, [0]]))), prepend=0).tolist()
    regions = {
        "polygons": [[20, 10, 60, 10, 60, 50, 20, 50]],
        "runs": {"size": [HEIGHT, WIDTH], "counts": [*runs, flat.size - sum(runs)]},
        "text": {"size": [HEIGHT, WIDTH], "counts": text["counts"].decode()},
    }
    images = [{"id": 5 + t, "file_name": f"a/{t:05d}.jpg", "height": HEIGHT, "width": WIDTH} for t in (0, 2)]
    annotations = [
        {"id": t, "image_id": 5 + t, "category_id": 4, "segmentation": regions[kind]} for t in (0, 2)
    ]
    (tmp_path / "m.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    found, _ = given(str(tmp_path / "m.json"))
    assert sorted(found) == [0, 2]
    assert np.array_equal(found[2] == 4, square > 0)


def test_our_own_json_and_label_video_go_in_again(tmp_path: Path, spvos: Command) -> None:
    save_frames(tmp_path / "f", [f"{t}.png" for t in range(LENGTH)])
    Image.fromarray(MASK * np.uint8(255)).save(tmp_path / "m.png")
    run = "segment f --size 48 --threads 1"
    code, _, said = spvos(f"{run} --mask m.png -o a -o a.json -o a.mkv")
    assert code == 0, said
    for name in ("a.json", "a.mkv"):
        code, _, said = spvos(f"{run} --mask {name} -o b --overwrite")
        assert code == 0, said
        for file in Path("a").iterdir():
            again = np.array(Image.open(Path("b") / file.name))
            assert np.array_equal(again, np.array(Image.open(file))), (name, file.name)


def test_a_mask_video_of_colours_with_loss(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "m.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for t, mask in enumerate(MASKS):
            image = np.dstack([mask * (250 - 2 * t), mask * (20 + 2 * t), mask * 20]).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    found, _ = given(str(tmp_path / "m.mp4"))
    assert sorted(found) == list(range(LENGTH))
    assert min(iou(found[t], MASKS[t]) for t in range(LENGTH)) > 0.8  # colour has half the resolution
    assert {int(mask.max()) for mask in found.values()} == {1}


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_animations_and_single_images_of_their_formats(tmp_path: Path, suffix: str) -> None:
    images = [Image.fromarray(mask * np.uint8(255)) for mask in MASKS]
    images[0].save(tmp_path / f"one.{suffix}", lossless=True)
    found, _ = given(str(tmp_path / f"one.{suffix}"))
    assert {t: iou(mask, MASKS[t]) for t, mask in found.items()} == {0: 1.0}
    images[0].save(tmp_path / f"all.{suffix}", save_all=True, append_images=images[1:], lossless=True)
    found, _ = given(str(tmp_path / f"all.{suffix}"))
    assert {t: iou(mask, MASKS[t]) for t, mask in found.items()} == dict.fromkeys(range(LENGTH), 1.0)


@pytest.mark.parametrize("name", ["m.npy", "m.npz", "m.tif", "m.mkv", "m.gif", "m.json"])
def test_damaged_files_are_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04GIF89a{" + bytes(range(200)))
    with pytest.raises(InputError) as error:
        given(str(tmp_path / name))
    assert "\n" not in str(error.value)


def test_a_stack_of_pages(tmp_path: Path) -> None:
    pages = [Image.fromarray(mask * np.uint8(2)) for mask in MASKS]
    pages[0].save(tmp_path / "m.tif", save_all=True, append_images=pages[1:])
    found, _ = given(str(tmp_path / "m.tif"))
    assert all(np.array_equal(found[t], MASKS[t] * 2) for t in range(LENGTH))


BAD_REGIONS = [
    "[[NaN, 1, 30, 1, 30, 30]]",
    "[[1e99, 1, 30, 1, 30]]",
    '{"counts": [5, 99999999999]}',
    '{"counts": "~~~~"}',
    '{"counts": [-4, 4]}',
    "null",
]


@pytest.mark.parametrize("region", BAD_REGIONS)
def test_regions_that_are_none(tmp_path: Path, region: str) -> None:
    """Some of these make pycocotools hang or read beyond its memory."""
    image = {"id": 1, "file_name": "0.jpg", "height": HEIGHT, "width": WIDTH}
    text = json.dumps({"images": [image], "annotations": [{"image_id": 1, "segmentation": "REGION"}]})
    (tmp_path / "m.json").write_text(text.replace('"REGION"', region))
    with pytest.raises(InputError, match=r"m\.json: JSON that is damaged"):
        given(str(tmp_path / "m.json"))


@pytest.mark.parametrize("text", ["[]", "{", '{"images": [{}], "annotations": []}', '{"shapes": 3}'])
def test_json_of_another_kind(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(InputError, match=r"m\.json: .*JSON"):
        given(str(tmp_path / "m.json"))
