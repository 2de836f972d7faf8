"""Masks as people bring them to be scored: as what they show, or refused with the reason; no wrong score."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from spvos_cli.video.palettes import voc_palette
from tests.conftest import write_mask
from tests.evaluation.conftest import Clip, Command, write_masks
from tests.evaluation.test_folders import SCORE, write_label_video, write_objects

HEIGHT, WIDTH, COUNT = 90, 160, 8
Save = Callable[[Path, np.ndarray], object]


@pytest.fixture
def masks() -> list[np.ndarray]:
    """A disk that moves by more than its rim is wide."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return [((x - 50 - 6 * t) ** 2 + (y - 45) ** 2 < 25**2).astype(np.uint8) for t in range(COUNT)]


def save_all(
    folder: Path, masks: list[np.ndarray], save: Save, names: str = "{:05d}", first: int = 0
) -> None:
    folder.mkdir(parents=True)
    for t, mask in enumerate(masks):
        save(folder / names.format(t + first), mask)


def picture(suffix: str, make: Callable[[np.ndarray], np.ndarray], **options: object) -> Save:
    return lambda path, mask: Image.fromarray(make(mask)).save(f"{path}.{suffix}", **options)


def soft(sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda mask: cv2.GaussianBlur(mask * 255, (0, 0), sigma)


def shrunk(mask: np.ndarray) -> np.ndarray:
    """As drawn at twice the size, with anti-aliasing."""
    large = cv2.resize(mask * 255, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    return cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def coloured(*colour: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda mask: mask[..., None] * np.array(colour, np.uint8)


def cut_out(mask: np.ndarray) -> np.ndarray:
    image = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return np.dstack([image, mask * 255])


def quantized(path: Path, mask: np.ndarray) -> None:
    """White first in the palette."""
    image = Image.fromarray(1 - mask).convert("P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(f"{path}.png")


SHOWN = {
    "soft matte": picture("png", soft(1.5)),
    "wide matte": picture("png", soft(3)),
    "slightly soft": picture("png", soft(0.5)),
    "anti-aliased": picture("png", shrunk),
    "16 bits": picture("png", lambda mask: mask.astype(np.uint16) * 65535),
    "soft, 16 bits": picture("png", lambda mask: soft(1.5)(mask).astype(np.uint16) * 257),
    "JPEG": picture("jpg", lambda mask: mask * 255, quality=75),
    "coarse JPEG": picture("jpg", lambda mask: mask * 255, quality=20),
    "soft JPEG": picture("jpg", soft(1.5)),
    "coloured JPEG": picture("jpg", coloured(255, 255, 255)),
    "white in RGB": picture("png", coloured(255, 255, 255)),
    "ones": picture("png", lambda mask: mask),
    "another grey": picture("png", lambda mask: mask * 128),
    "class colour": picture("png", coloured(250, 50, 83)),
    "class colour in JPEG": picture("jpg", coloured(250, 50, 83), quality=90),
    "another palette id": picture("png", coloured(0, 128, 0)),
    "cut-out": picture("png", cut_out),
    "white first": quantized,
}


@pytest.mark.parametrize("side", ["pred", "truth"])
@pytest.mark.parametrize("kind", SHOWN)
def test_scored_as_what_they_show(
    spvos_eval: Command, tmp_path: Path, masks: list[np.ndarray], kind: str, side: str
) -> None:
    save_all(tmp_path / side, masks, SHOWN[kind])
    write_masks(tmp_path / ("truth" if side == "pred" else "pred"), masks)
    code, out, err = spvos_eval(SCORE)
    assert code == 0, err
    assert json.loads(out)["J-Mean"] > 0.93
    assert len(json.loads(out)["objects"]) == 1


def test_what_was_merged_is_said_once(spvos_eval: Command, tmp_path: Path, masks: list[np.ndarray]) -> None:
    save_all(tmp_path / "pred", masks, SHOWN["soft matte"])
    write_masks(tmp_path / "truth", masks)
    (complaint,) = json.loads(spvos_eval(SCORE)[1])["complaints"]
    assert "values on soft edges were merged" in complaint
    assert f"({COUNT - 2} such remarks)" in complaint


REFUSED = {
    "ids in JPEG": (picture("jpg", lambda mask: mask * 2), "ids in a format that changes them"),
    "inverted": (picture("png", lambda mask: (1 - mask) * 255), "background is where the true objects are"),
    "inverted in 1 bit": (picture("png", lambda mask: mask == 0), "background is where the true objects are"),
    "a photograph": (
        picture("png", lambda mask: cv2.GaussianBlur(cut_out(mask)[..., 0], (0, 0), 2)),
        "hardly any of them in flat areas",
    ),
    "a trimap": (
        picture("png", lambda mask: (mask + cv2.erode(mask, np.ones((9, 9), np.uint8))) * 127),
        "2 ids (127, 254)",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(spvos_eval: Command, tmp_path: Path, masks: list[np.ndarray], kind: str) -> None:
    save, named = REFUSED[kind]
    save_all(tmp_path / "pred", masks, save)
    write_masks(tmp_path / "truth", masks)
    code, out, err = spvos_eval(SCORE)
    assert (code, out) == (2, "")
    assert named in err.splitlines()[-1]


def test_a_bad_prediction_is_scored(spvos_eval: Command, tmp_path: Path, masks: list[np.ndarray]) -> None:
    """Nothing, everything, or the wrong place: none of it is refused."""
    write_masks(tmp_path / "truth", masks)
    for wrong in (np.zeros_like, np.ones_like, lambda mask: np.roll(mask, 40, axis=0)):
        shutil.rmtree(tmp_path / "pred", ignore_errors=True)
        write_masks(tmp_path / "pred", [wrong(mask) for mask in masks])
        code, out, err = spvos_eval(SCORE)
        assert code == 0, err
        assert json.loads(out)["J-Mean"] < 0.3


TWO = (250, 50, 83), (51, 221, 255)  # the second comes first by value


def two_colours(path: Path, ids: np.ndarray) -> None:
    Image.fromarray(np.array([(0, 0, 0), *TWO], np.uint8)[ids]).save(f"{path}.png")


def test_class_colours_of_several_objects(spvos_eval: Command, tmp_path: Path, clip: Clip) -> None:
    """Alike on both sides they are one object each; against ids they are nothing but a silhouette."""
    save_all(tmp_path / "pred", clip[1], two_colours)
    save_all(
        tmp_path / "truth", [np.where(t < 3, ids & 1, ids) for t, ids in enumerate(clip[1])], two_colours
    )
    found = json.loads(spvos_eval(f"{SCORE} --late-objects")[1])
    assert [found["objects"][f"truth_{i}"]["J-Mean"] for i in (1, 2)] == [1, 1]
    shutil.rmtree(tmp_path / "pred")
    write_masks(tmp_path / "pred", clip[1])
    code, out, err = spvos_eval(SCORE)
    assert (code, out) == (2, "")
    assert "truth: colours that are not DAVIS's palette, whose order says nothing about ids" in err
    assert json.loads(spvos_eval(f"{SCORE} --merge-objects")[1])["J-Mean"] > 0.5


@pytest.mark.parametrize("folders", [("SegmentationClass",), ("SegmentationClass", "SegmentationObject")])
def test_cvat_export(spvos_eval: Command, tmp_path: Path, clip: Clip, folders: tuple[str, ...]) -> None:
    """Objects where they are exported, else classes; the root is enough."""
    for folder in folders:
        ids = [np.minimum(mask, 1) if folder.endswith("Class") else mask for mask in clip[1]]
        save_all(tmp_path / "truth" / folder, ids, two_colours, "frame_{:06d}")
    save_all(tmp_path / "pred", ids, two_colours)
    found = json.loads(spvos_eval(SCORE)[1])
    assert len(found["objects"]) == len(folders)
    assert found["J-Mean"] == 1


def test_ids_of_others(spvos_eval: Command, tmp_path: Path, clip: Clip) -> None:
    """One id for one id is the same object, and that is said; of several none is known."""
    write_masks(tmp_path / "truth", [ids & 1 for ids in clip[1]])
    write_masks(tmp_path / "pred", [(ids & 1) * 7 for ids in clip[1]])
    found = json.loads(spvos_eval(SCORE)[1])
    assert found["J-Mean"] == 1
    assert found["complaints"] == ["truth: the only predicted id, 7, is taken for the only true one, 1"]
    shutil.rmtree(tmp_path / "truth")
    write_masks(tmp_path / "truth", clip[1])
    code, _, err = spvos_eval(SCORE)
    assert code == 2
    assert "pred: 1 id (7); expected the true masks' 2 ids (1, 2) (--merge-objects" in err


@pytest.mark.parametrize("first", [1, 7, 1001])
def test_names_too_high(spvos_eval: Command, tmp_path: Path, masks: list[np.ndarray], first: int) -> None:
    write_masks(tmp_path / "truth", masks)
    save_all(tmp_path / "pred", masks, picture("png", lambda mask: mask), first=first)
    found = json.loads(spvos_eval(SCORE)[1])
    assert found["J-Mean"] == 1
    overlapping = first < COUNT
    named = f"predicted frames are numbered {first} higher than the true ones (0000{first} for 00000)"
    assert found["complaints"] == ([f"truth: {named}: matched in their order"] if overlapping else [])


def test_names_too_high_beside_few_true_masks(
    spvos_eval: Command, tmp_path: Path, masks: list[np.ndarray]
) -> None:
    """Every third frame is annotated: the first predicted mask is the given one, one name too late."""
    (tmp_path / "truth").mkdir()
    for t in range(0, COUNT, 3):
        write_mask(tmp_path / f"truth/{t:05d}.png", masks[t])
    save_all(tmp_path / "pred", masks, picture("png", lambda mask: mask), first=1)
    code, out, err = spvos_eval(SCORE)
    assert (code, out) == (2, "")
    assert "pred, frame 00001: the true mask of frame 00000, so that names are shifted" in err
    (tmp_path / "pred/00001.png").unlink()
    assert spvos_eval(SCORE)[0] == 0


@pytest.mark.parametrize(
    ("names", "code"), [("frame_{:06d}", 0), ("sh010.{:d}", 0), ("{:05d}_mask", 0), ("x{:d}y", 0), ("m", 2)]
)
def test_other_names_beside_few_true_masks(
    spvos_eval: Command, tmp_path: Path, masks: list[np.ndarray], names: str, code: int
) -> None:
    (tmp_path / "truth").mkdir()
    for t in range(0, COUNT, 3):
        write_mask(tmp_path / f"truth/{t:05d}.png", masks[t])
    save_all(tmp_path / "pred", masks, picture("png", lambda mask: mask), names)
    found, out, err = spvos_eval(SCORE)
    assert found == code, err
    assert code or json.loads(out)["J-Mean"] == 1
    assert not code or "pred: frames m; expected the names of the true masks' frames" in err


def test_label_videos_without_names(spvos_eval: Command, tmp_path: Path, masks: list[np.ndarray]) -> None:
    """One that was made with --stride ends too early for the frames' numbers: refused."""
    write_masks(tmp_path / "truth", masks)
    write_label_video(tmp_path / "pred/a.mkv", masks[2::2])
    code, out, err = spvos_eval(SCORE)
    assert (code, out) == (2, "")
    assert "a: a label video of 3 frames, which have no names; expected 8" in err
    for t in (1, 2, 4, 5, 7):
        (tmp_path / f"truth/{t:05d}.png").unlink()
    write_label_video(tmp_path / "pred/a.mkv", masks)
    assert json.loads(spvos_eval(SCORE)[1])["J-Mean"] == 1
    write_label_video(tmp_path / "pred/a.mkv", masks[::3])
    assert json.loads(spvos_eval(SCORE)[1])["J-Mean"] == 1


def test_mattes_of_objects_in_folders(spvos_eval: Command, tmp_path: Path, clip: Clip) -> None:
    write_masks(tmp_path / "truth", clip[1])
    write_objects(tmp_path / "pred", clip[1])
    for file in (tmp_path / "pred").rglob("*.png"):
        Image.fromarray(cv2.GaussianBlur(np.array(Image.open(file)), (0, 0), 1.5)).save(file)
    found = json.loads(spvos_eval(SCORE)[1])
    assert found["J-Mean"] > 0.93


def test_frames_beside_their_masks(spvos_eval: Command, tmp_path: Path, clip: Clip) -> None:
    write_masks(tmp_path / "truth", clip[1])
    write_masks(tmp_path / "pred", clip[1])
    for t, image in enumerate(clip[0]):
        Image.fromarray(image).save(tmp_path / f"truth/{t:05d}.jpg")
    assert json.loads(spvos_eval(SCORE)[1])["J-Mean"] == 1


def test_folder_too_high(spvos_eval: Command, tmp_path: Path, clip: Clip) -> None:
    for name in ("a", "b"):
        write_masks(tmp_path / "pred/run/out" / name, clip[1])
        write_masks(tmp_path / "truth" / name, clip[1])
    code, _, err = spvos_eval(SCORE)
    assert code == 2
    assert "pred: masks deeper in it alone" in err
    assert "(--pred pred/run/out)" in err


def test_palette_is_davis() -> None:
    """Which the ids above rely on."""
    assert voc_palette()[2].tolist() == [0, 128, 0]
