"""Masks as tools save them: arrays of networks, relatives of COCO, labelme's other shapes, mask videos, and
names that say an object."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.video.reader import open_source
from tests.field.making import encode, ffmpeg, write
from tests.field.scene import FRAMES, HEIGHT, LENGTH, MASKS, WIDTH, folder_source, iou
from tests.field.test_mask_files import given, masks_named

MASK = MASKS[0]
SECOND = ((np.roll(MASK, 60, axis=1) > 0) & (MASK == 0)).astype(np.uint8)
TWO = (MASK + 2 * SECOND).astype(np.uint8)


ARRAYS = {
    "channels last": np.stack([MASK > 0, SECOND > 0], axis=-1),
    "a batch of channels": np.stack([MASK > 0, SECOND > 0])[:, None],
    "colours": np.array([(0, 0, 0), (128, 0, 0), (0, 128, 0)], np.uint8)[TWO],
    "ids": TWO.astype(np.int64)[None, None],
    "by name": {"cat": MASK > 0, "dog": SECOND > 0},
    "mask and more": {"masks": TWO, "scores": np.ones(2)},
    "large ids": np.array([0, 1001, 2002])[TWO],
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_of_networks(tmp_path: Path, kind: str) -> None:
    values = ARRAYS[kind]
    if isinstance(values, dict):
        np.savez(tmp_path / "m.npz", **values)
    else:
        np.save(tmp_path / "m.npy", values)
    found, _ = given(str(next(tmp_path.iterdir())))
    assert list(found) == [0]
    assert np.array_equal(found[0], TWO)


def test_an_entry_for_each_frame(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", **{"3": MASKS[3], "0": MASK})
    found, _ = given(str(tmp_path / "m.npz"))
    assert {t: iou(mask, MASKS[t]) for t, mask in found.items()} == {0: 1.0, 3: 1.0}


def test_a_folder_of_arrays(tmp_path: Path) -> None:
    for t in (0, 3):
        np.save(tmp_path / f"{t:05d}.npy", MASKS[t] > 0)
    found, _ = given(str(tmp_path))
    assert {t: iou(mask, MASKS[t]) for t, mask in found.items()} == {0: 1.0, 3: 1.0}


NO_ARRAYS = {
    "logits": np.where(MASK > 0, 8.5, -12.3),
    "frames of another video": np.stack(MASKS * 2) > 0,
    "several shapes": {"a": MASK, "b": MASK[:-2]},
    "beyond the frames": {"7000": MASK, "7001": MASK},
}


@pytest.mark.parametrize("kind", NO_ARRAYS)
def test_arrays_that_cannot_be_masks(tmp_path: Path, kind: str) -> None:
    values = NO_ARRAYS[kind]
    np.savez(tmp_path / "m.npz", **(values if isinstance(values, dict) else {"masks": values}))
    source = folder_source(tmp_path / "f", [f"{t}.png" for t in range(LENGTH)])
    with pytest.raises(InputError, match=r"m\.npz"):
        given(str(tmp_path / "m.npz"), source)


def region(mask: np.ndarray) -> dict[str, Any]:
    from pycocotools import mask as coco

    encoded = coco.encode(np.asfortranarray(mask))
    return {"size": [HEIGHT, WIDTH], "counts": encoded["counts"].decode()}


def image(t: int) -> dict[str, Any]:
    return {"id": t + 1, "file_name": f"{t:05d}.jpg", "height": HEIGHT, "width": WIDTH}


def annotation(t: int, mask: np.ndarray, **more: object) -> dict[str, Any]:
    return {"image_id": t + 1, "segmentation": region(mask), **more}


VIDEO = {"id": 1, "height": HEIGHT, "width": WIDTH, "file_names": [f"v/{t:05d}.jpg" for t in range(LENGTH)]}
RELATIVES = {
    "YouTube-VIS": {
        "videos": [VIDEO],
        "annotations": [
            {"id": 1, "video_id": 1, "segmentations": [region(MASK)] + [None] * (LENGTH - 1)},
            {"id": 2, "video_id": 1, "segmentations": [region(SECOND)] + [None] * (LENGTH - 1)},
        ],
    },
    "Segment Anything": {
        "image": {"image_id": 9, "file_name": "sa_9.jpg", "height": HEIGHT, "width": WIDTH},
        "annotations": [{"id": 5, "segmentation": region(MASK)}, {"id": 6, "segmentation": region(SECOND)}],
    },
    "results": [annotation(0, MASK, score=0.9), annotation(0, SECOND, score=0.8)],
    "track ids from 0": {
        "images": [image(0)],
        "annotations": [annotation(0, MASK, track_id=0), annotation(0, SECOND, track_id=1)],
    },
    "words for tracks": {
        "images": [image(0)],
        "annotations": [
            annotation(0, MASK, attributes={"track_id": "a-7"}),
            annotation(0, SECOND, attributes={"track_id": "b-1"}),
        ],
    },
    "large categories": {
        "images": [image(0)],
        "annotations": [annotation(0, MASK, category_id=1034), annotation(0, SECOND, category_id=2001)],
    },
    "no sizes, no names": {
        "images": [{"id": 1}],
        "annotations": [annotation(0, MASK), annotation(0, SECOND)],
    },
}


@pytest.mark.parametrize("kind", RELATIVES)
def test_relatives_of_coco(tmp_path: Path, kind: str) -> None:
    (tmp_path / "m.json").write_text(json.dumps(RELATIVES[kind]), "utf-8-sig")
    found, _ = given(str(tmp_path / "m.json"))
    assert list(found) == [0]
    assert np.array_equal(found[0], TWO)


def test_an_object_is_the_same_in_all_images(tmp_path: Path) -> None:
    """By its category, however large and in whatever order; where nothing tells, that is said."""
    boxes = {"a": annotation(0, MASK, category_id=900), "b": annotation(0, SECOND, category_id=901)}
    later = {"b": annotation(2, SECOND, category_id=901), "a": annotation(2, MASK, category_id=900)}
    both = {"images": [image(0), image(2)], "annotations": [*boxes.values(), *later.values()]}
    (tmp_path / "m.json").write_text(json.dumps(both))
    found, said = given(str(tmp_path / "m.json"))
    assert np.array_equal(found[0], TWO)
    assert np.array_equal(found[2], TWO)
    assert said == ""
    for one in both["annotations"]:
        one["category_id"] = 1
    (tmp_path / "m.json").write_text(json.dumps(both))
    assert "nothing in it says which objects" in given(str(tmp_path / "m.json"))[1]


def test_images_that_nobody_annotated_yet(tmp_path: Path) -> None:
    """Tools list all images of a task; in our own output such an image has no object."""
    data = {"images": [image(t) for t in range(LENGTH)], "annotations": [annotation(0, MASK)]}
    (tmp_path / "m.json").write_text(json.dumps(data))
    found, said = given(str(tmp_path / "m.json"))
    assert list(found) == [0]
    assert f"{LENGTH - 1} images without annotations" in said
    (tmp_path / "m.json").write_text(json.dumps(data | {"info": {"contributor": "spvos"}}))
    assert list(given(str(tmp_path / "m.json"))[0]) == [*range(LENGTH)]


def test_boxes_alone_name_the_option_for_them(tmp_path: Path) -> None:
    data = {"images": [image(0)], "annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4], "segmentation": []}]}
    (tmp_path / "m.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"a box alone.*--box"):
        given(str(tmp_path / "m.json"))


def test_other_shapes_of_labelme(tmp_path: Path) -> None:
    """Masks of its assistant, turned rectangles; lines and points have no area, and that is said."""
    y, x = np.nonzero(MASK)
    part = MASK[y.min() : y.max() + 1, x.min() : x.max() + 1]
    file = io.BytesIO()
    Image.fromarray(part * np.uint8(255)).save(file, "PNG")
    corners = [[int(x.min()), int(y.min())], [int(x.max()), int(y.max())]]
    text = base64.b64encode(file.getvalue()).decode()
    shapes = [
        {"label": "a", "shape_type": "mask", "points": corners, "mask": text},
        {"label": "b", "shape_type": "rotation", "points": [[120, 10], [140, 20], [130, 40], [110, 30]]},
        {"label": "c", "shape_type": "linestrip", "points": [[1, 1], [9, 9]]},
    ]
    (tmp_path / "m.json").write_text(json.dumps({"shapes": shapes}))
    found, said = given(str(tmp_path / "m.json"))
    assert np.array_equal(found[0] == 1, MASK > 0)
    assert (found[0][25, 125], found[0][12, 112]) == (2, 0)
    assert "1 lines and points" in said


WHITE = [np.dstack([mask * np.uint8(255)] * 3) for mask in MASKS]
VIDEOS = {
    "m.ts": ["-c:v", "libx264", "-pix_fmt", "yuv420p"],
    "m.mpg": ["-c:v", "mpeg2video", "-q:v", 2],
    "m.wmv": ["-c:v", "wmv2", "-q:v", 2],
    "m.avi": ["-c:v", "mjpeg", "-q:v", 2],
    "m.mov": ["-c:v", "png"],
}


@pytest.mark.parametrize("name", VIDEOS)
def test_mask_videos_in_any_container(tmp_path: Path, name: str) -> None:
    encode(tmp_path / name, WHITE, *VIDEOS[name])
    found, _ = given(str(tmp_path / name))
    assert min(iou(found[t], MASKS[t]) for t in range(LENGTH)) > 0.97
    assert {int(mask.max()) for mask in found.values()} == {1}


def test_a_mask_video_is_turned_as_players_show_it(tmp_path: Path) -> None:
    encode(tmp_path / "flat.mp4", WHITE, "-c:v", "libx264", "-pix_fmt", "yuv420p")
    ffmpeg("-display_rotation", 180, "-i", tmp_path / "flat.mp4", "-c", "copy", tmp_path / "m.mp4")
    found, _ = given(str(tmp_path / "m.mp4"))
    assert min(iou(found[t], MASKS[t][::-1, ::-1]) for t in range(LENGTH)) > 0.97


@pytest.mark.parametrize("suffix", [".mov", ".webm", ".rgba", ".objects"])
def test_our_own_outputs_go_in_again(tmp_path: Path, suffix: str) -> None:
    encode(tmp_path / "x.mp4", FRAMES, "-c:v", "libx264", "-crf", 8, "-pix_fmt", "yuv420p")
    masks = iter(MASKS)
    write(tmp_path / "x.mp4", tmp_path / f"m{suffix}", label=lambda image: next(masks))
    found, _ = given(str(tmp_path / f"m{suffix}"))
    assert min(iou(found[t], MASKS[t]) for t in range(LENGTH)) > 0.98
    assert {int(mask.max()) for mask in found.values()} == {1}


def test_names_that_say_an_object(tmp_path: Path) -> None:
    """The same one in all frames, and not the number of a frame."""
    source = folder_source(tmp_path / "f", [f"{t:05d}.png" for t in range(LENGTH)])
    for name in ("{:05d}_obj{}", "{:05d}_{}"):
        folder = tmp_path / name[-4:-2]
        folder.mkdir()
        for t, objects in ((0, (4, 9)), (3, (9,))):
            for number in objects:
                white = (MASK if number == 4 else SECOND) * np.uint8(255)
                Image.fromarray(white).save(folder / f"{name.format(t, number)}.png")
        found, _ = given(str(folder), source)
        assert sorted(found) == [0, 3]
        assert np.array_equal(found[0], TWO)
        assert np.array_equal(found[3], 2 * SECOND)


def test_a_folder_for_each_object(tmp_path: Path) -> None:
    """Named by its id, or by a word."""
    for folders in (("1", "7"), ("cat", "dog")):
        root = tmp_path / folders[0]
        for name, mask in zip(folders, (MASK, SECOND), strict=True):
            (root / name).mkdir(parents=True)
            Image.fromarray(mask * np.uint8(255)).save(root / name / "00002.png")
        found, _ = given(str(root))
        second = 7 if folders[1] == "7" else 2
        assert np.array_equal(found[2], np.array([0, 1, second])[TWO])
    Image.fromarray(TWO * np.uint8(3)).save(tmp_path / "cat/cat/00002.png")
    with pytest.raises(InputError, match="several objects"):
        given(str(tmp_path / "cat"))


def test_masks_by_place_where_frames_begin_elsewhere(tmp_path: Path) -> None:
    """Masks of frames 0 and 3 of the video that the plates were made of."""
    source = folder_source(tmp_path / "f", [f"sh.{1001 + t}.png" for t in range(LENGTH)])
    found, said = given(str(masks_named(tmp_path / "m", {"00000": 0, "00003": 3})), source)
    assert {t: iou(mask, MASKS[t]) for t, mask in found.items()} == {0: 1.0, 3: 1.0}
    assert "masks count from 0, frames from 1001" in said


def test_a_folder_that_is_too_high_names_the_one_with_masks(tmp_path: Path) -> None:
    (tmp_path / "e/Annotations/480p").mkdir(parents=True)
    masks_named(tmp_path / "e/Annotations/480p/x", {"00000": 0})
    with pytest.raises(InputError, match=r"there are some in .*480p/x"):
        given(str(tmp_path / "e"))


def test_masks_as_gif_in_a_folder(tmp_path: Path) -> None:
    found, _ = given(str(masks_named(tmp_path / "m", {"00000": 0, "00003": 3}, ".gif")))
    assert {t: iou(mask, MASKS[t]) for t, mask in found.items()} == {0: 1.0, 3: 1.0}


def test_a_number_before_masks_of_many_frames(tmp_path: Path) -> None:
    """It holds for an image alone, also where that bears a frame's name; before several it means nothing."""
    source = folder_source(tmp_path / "f", [f"{t:05d}.jpg" for t in range(LENGTH)])
    data = {"images": [image(0)], "annotations": [annotation(0, MASK)]}
    (tmp_path / "m.json").write_text(json.dumps(data))
    assert list(given(str(tmp_path / "m.json"), source)[0]) == [0]
    assert list(given(f"2:{tmp_path / 'm.json'}", source)[0]) == [2]
    data = {"images": [image(0), image(3)], "annotations": [annotation(0, MASK), annotation(3, MASK)]}
    (tmp_path / "m.json").write_text(json.dumps(data))
    for text in (f"2:{tmp_path / 'm.json'}", f"2:{masks_named(tmp_path / 'm', {'00003': 3})}"):
        with pytest.raises(InputError, match="no number before it"):
            given(text, source)


def test_a_mask_video_of_another_rate(tmp_path: Path) -> None:
    """Our own label video of every second frame: by its times, not by its places."""
    encode(tmp_path / "x.mp4", FRAMES, "-c:v", "libx264", "-pix_fmt", "yuv420p")
    source = open_source(str(tmp_path / "x.mp4"))
    masks = [np.dstack([mask] * 3) for mask in MASKS[::2]]
    encode(tmp_path / "m.mkv", masks, "-c:v", "ffv1", "-pix_fmt", "gray", "-r", "25/2", rate="25/2")
    found, said = given(str(tmp_path / "m.mkv"), source)
    assert {t: iou(mask, MASKS[t]) for t, mask in found.items()} == {0: 1.0, 2: 1.0, 4: 1.0}
    assert "a mask every 0.08 s, a frame every 0.04 s: taken by times" in said
