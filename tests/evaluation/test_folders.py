"""`spvos eval --pred DIR --truth DIR`: the layouts that masks come in, and what is said about wrong ones."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from spvos_cli.evaluation.scores import global_scores, score_sequence
from spvos_cli.video.palettes import voc_palette
from tests.conftest import write_mask
from tests.evaluation.conftest import Clip, Command, shifted, write_masks
from tests.evaluation.plain_recipe import plain_contour, plain_region

SCORE = "--pred pred --truth truth --json --threads 1"


def write_objects(folder: Path, masks: list[np.ndarray], first: int = 1) -> Path:
    """A folder of black and white images for each object, numbered from `first`."""
    for i in (1, 2):
        (folder / f"{i - 1 + first:03d}").mkdir(parents=True)
        for t, ids in enumerate(masks):
            image = Image.fromarray(((ids == i) * 255).astype(np.uint8), "L")
            image.save(folder / f"{i - 1 + first:03d}" / f"{t:05d}.png")
    return folder


def write_label_video(path: Path, masks: list[np.ndarray], pix_fmt: str = "gray") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1" if pix_fmt != "yuv420p" else "libx264", rate=25)
        stream.height, stream.width = masks[0].shape
        stream.pix_fmt = pix_fmt
        for ids in masks:
            image = (ids, "gray") if pix_fmt == "gray" else (voc_palette()[ids], "rgb24")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image[0], format=image[1])))
        container.mux(stream.encode(None))
    return path


def write_layout(layout: str, root: Path, masks: list[np.ndarray]) -> None:
    """Two sequences, the second one backwards, or one where the layout has but one."""
    two = {"one": masks, "two": masks[::-1]}
    if layout == "folder":
        write_masks(root, masks)
    elif layout == "video":
        write_label_video(root / "anything.mkv", masks)
    elif layout == "objects":
        write_objects(root, masks)
    elif layout == "objects from 0":
        write_objects(root, masks, first=0)
    for name, ids in two.items():
        if layout == "davis":
            write_masks(root / "Annotations/480p" / name, ids)
        elif layout == "sequences":
            write_masks(root / name, ids)
        elif layout == "objects of sequences":
            write_objects(root / name, ids)
        elif layout == "coloured videos":
            write_label_video(root / f"{name}.mkv", ids, "bgr0")


def expected_score(masks: list[np.ndarray], sequences: int) -> float:
    orders = [masks, masks[::-1]][:sequences]
    scores = [score_sequence(shifted(ids)[1:-1], ids[1:-1], [1, 2]) for ids in orders]
    return global_scores([score for found in scores for score in found.values()])["J&F-Mean"]


@pytest.mark.parametrize(
    ("pred", "truth", "sequences"),
    [
        ("sequences", "davis", 2),
        ("objects of sequences", "sequences", 2),
        ("coloured videos", "objects of sequences", 2),
        ("folder", "video", 1),
        ("video", "folder", 1),
        ("objects", "folder", 1),
        ("folder", "objects from 0", 1),
        ("objects from 0", "objects from 0", 1),
    ],
)
def test_layouts(
    spvos_eval: Command, tmp_path: Path, clip: Clip, pred: str, truth: str, sequences: int
) -> None:
    write_layout(truth, tmp_path / "truth", clip[1])
    write_layout(pred, tmp_path / "pred", shifted(clip[1]))
    code, out, err = spvos_eval(SCORE)
    assert code == 0, err
    found = json.loads(out)
    assert found["J&F-Mean"] == pytest.approx(expected_score(clip[1], sequences), abs=1e-12)
    assert len(found["sequences"]) == sequences
    assert len(found["objects"]) == 2 * sequences
    assert found["complaints"] == []


def test_processes_give_what_one_gives(spvos_eval: Command, tmp_path: Path, clip: Clip) -> None:
    write_layout("davis", tmp_path / "truth", clip[1])
    write_layout("sequences", tmp_path / "pred", shifted(clip[1]))
    one, two = (json.loads(spvos_eval(f"--pred pred --truth truth --json --threads {n}")[1]) for n in (1, 2))
    assert one == two


def test_by_hand(spvos_eval: Command, tmp_path: Path, clip: Clip) -> None:
    """The whole way from files to the table, against whole-frame J and F."""
    write_masks(tmp_path / "truth", clip[1])
    write_masks(tmp_path / "pred", shifted(clip[1]))
    found = json.loads(spvos_eval(SCORE)[1])
    pairs = list(zip(shifted(clip[1]), clip[1], strict=True))[1:-1]
    j = np.mean([[plain_region(p == i, t == i) for p, t in pairs] for i in (1, 2)])
    f = np.mean([[plain_contour(p == i, t == i) for p, t in pairs] for i in (1, 2)])
    assert found["J-Mean"] == pytest.approx(j)
    assert found["F-Mean"] == pytest.approx(f)
    assert found["J&F-Mean"] == pytest.approx((j + f) / 2)


def test_all_frames_and_merged_objects(spvos_eval: Command, tmp_path: Path, clip: Clip) -> None:
    """First and last frame are wrong, and the ids are swapped: only some ways of counting see it."""
    swapped = [np.where(ids, 3 - ids, 0).astype(np.uint8) for ids in clip[1]]
    swapped[0][:], swapped[-1][:] = 0, 0
    write_masks(tmp_path / "truth", clip[1])
    write_masks(tmp_path / "pred", swapped)
    assert json.loads(spvos_eval(SCORE)[1])["J-Mean"] == 0
    assert json.loads(spvos_eval(f"{SCORE} --merge-objects")[1])["J-Mean"] == 1
    merged = json.loads(spvos_eval(f"{SCORE} --merge-objects --all-frames")[1])
    assert merged["J-Mean"] == pytest.approx((len(clip[1]) - 2) / len(clip[1]))


def test_late_objects(spvos_eval: Command, tmp_path: Path, clip: Clip) -> None:
    """Object 2 appears in frame 3: without being asked for it does not count, and a line says so."""
    late = [np.where((ids == 2) & (t < 3), 0, ids).astype(np.uint8) for t, ids in enumerate(clip[1])]
    write_masks(tmp_path / "truth", late)
    write_masks(tmp_path / "pred", late)
    without, found = (json.loads(spvos_eval(SCORE + option)[1]) for option in ("", " --late-objects"))
    assert set(without["objects"]) == {"truth_1"}
    assert without["complaints"] == ["truth: 1 true id (2) not in the first true mask, not scored"]
    assert set(found["objects"]) == {"truth_1", "truth_2"}
    assert found["complaints"] == []


def test_255_is_an_object_alone_and_none_beside_others(
    spvos_eval: Command, tmp_path: Path, clip: Clip
) -> None:
    white = [np.where(ids == 1, 255, 0).astype(np.uint8) for ids in clip[1]]
    void = [np.where(ids == 2, 255, ids).astype(np.uint8) for ids in clip[1]]
    write_masks(tmp_path / "truth", void)
    write_masks(tmp_path / "pred", white)
    found = json.loads(spvos_eval(SCORE)[1])
    assert found["J&F-Mean"] == 1
    assert set(found["objects"]) == {"truth_1"}
    assert found["complaints"] == []


def test_objects_that_overlap(spvos_eval: Command, tmp_path: Path, clip: Clip) -> None:
    """A label map has one id a pixel: of two objects there the higher one holds, and a line says so."""
    write_masks(tmp_path / "truth", clip[1])
    write_objects(tmp_path / "pred", clip[1])
    Image.fromarray(np.full_like(clip[1][3], 255), "L").save(tmp_path / "pred/001/00003.png")
    found = json.loads(spvos_eval(SCORE)[1])
    assert found["complaints"] == [
        "truth: 1 predicted frame(s) with objects that overlap: the higher id holds"
    ]
    assert found["objects"]["truth_2"]["J-Mean"] == 1
    assert found["objects"]["truth_1"]["J-Mean"] < 1


def break_masks(how: str, pred: Path) -> None:
    file = pred / "00003.png"
    ids = np.array(Image.open(file))
    if how == "missing":
        file.unlink()
    elif how == "extra":
        write_mask(pred / "00099.png", ids)
    elif how == "id too many":
        write_mask(file, np.where(ids == 0, 9, ids).astype(np.uint8))
    elif how == "id never":
        for other in pred.iterdir():
            write_mask(other, np.array(Image.open(other)) & 1)
    elif how == "size":
        write_mask(file, ids.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ("missing", "1 frame (00003) without a predicted mask, counted as empty"),
        ("extra", "1 predicted frame (00099) without a true mask, not scored"),
        ("id too many", "1 predicted id (9) not in the first true mask, not scored"),
        ("id never", "1 true id (2) never predicted"),
        ("size", "1 predicted mask (00003) of another size, rescaled"),
    ],
)
def test_complaints(spvos_eval: Command, tmp_path: Path, clip: Clip, how: str, complaint: str) -> None:
    write_masks(tmp_path / "truth", clip[1])
    break_masks(how, write_masks(tmp_path / "pred", clip[1]))
    code, out, err = spvos_eval(SCORE)
    found = json.loads(out)
    assert code == 0
    assert found["complaints"] == [f"truth: {complaint}"]
    assert f"warning: truth: {complaint}" in err
    lost = {"missing": 1 / 6, "id never": 1 / 2}.get(how, 0)
    assert found["J-Mean"] == pytest.approx(1 - lost)
    code, out, err = spvos_eval(f"{SCORE} --strict --csv tables")
    assert (code, out) == (2, "")
    assert complaint in err.splitlines()[-1]
    assert not (tmp_path / "tables").exists()


def test_sequences_without_counterpart(spvos_eval: Command, tmp_path: Path, clip: Clip) -> None:
    for name in ("a", "b", "c"):
        write_masks(tmp_path / "truth" / name, clip[1])
    for name in ("b", "x"):
        write_masks(tmp_path / "pred" / name, clip[1])
    found = json.loads(spvos_eval(SCORE)[1])
    assert list(found["sequences"]) == ["b"]
    assert found["complaints"] == [
        "2 sequences (a, c) without predicted masks, left out",
        "1 sequence (x) without true masks, left out",
    ]


def test_frames_of_other_names_match_by_place(spvos_eval: Command, tmp_path: Path, clip: Clip) -> None:
    write_masks(tmp_path / "truth", clip[1])
    (tmp_path / "pred").mkdir()
    for t, ids in enumerate(clip[1]):
        write_mask(tmp_path / f"pred/mask_{t + 3}.png", ids)  # mask_9 comes before mask_10
    assert json.loads(spvos_eval(SCORE)[1])["J&F-Mean"] == 1


def test_official_csv_files(spvos_eval: Command, tmp_path: Path, clip: Clip) -> None:
    write_masks(tmp_path / "truth", clip[1])
    write_masks(tmp_path / "pred", shifted(clip[1]))
    found = json.loads(spvos_eval(f"{SCORE} --csv out")[1])
    (header, row) = csv.reader((tmp_path / "out/global_results-val.csv").open())
    assert header == ["J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay"]
    assert row == [f"{found[name]:.3f}" for name in header]
    rows = list(csv.DictReader((tmp_path / "out/per-sequence_results-val.csv").open()))
    assert [row["Sequence"] for row in rows] == ["truth_1", "truth_2"]
    assert rows[0]["F-Mean"] == f"{found['objects']['truth_1']['F-Mean']:.3f}"
    code, _, err = spvos_eval(f"{SCORE} --csv out")
    assert code == 2
    assert "it exists already" in err
    assert spvos_eval(f"{SCORE} --csv out --overwrite")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("", "spvos eval: not exactly one"),
        ("--pred pred", "--pred: it has no effect here; expected --pred with --truth"),
        ("--pred pred --truth truth --dataset davis", "spvos eval: not exactly one"),
        ("--pred gone --truth truth", "gone: no such file or folder"),
        ("--pred empty --truth truth", "empty: no masks in it"),
        ("--pred text.png --truth truth", "text.png: not a video or a folder"),
        ("--pred broken --truth truth", "00002.png: not readable as an image"),
        ("--pred lossy.mkv --truth truth", "lossy.mkv: pixels that do not hold ids exactly (yuv420p)"),
        ("--pred nothing.mkv --truth truth", "nothing.mkv: not readable as a video"),
        ("--pred square --truth truth", "square, frame 00001: 96x96 pixels"),
        (
            "--pred colours --truth truth",
            "colours: colours that are not DAVIS's palette, whose order",
        ),
        ("--pred many --truth others", "--pred: 2 sequences (a, b)"),
        ("--pred pred --truth blank", "no object in a frame that counts"),
        ("--pred pred --truth truth --report no/r.html", "r.html: no folder no"),
        ("--pred pred --truth truth --report text.png", "text.png: it exists already"),
    ],
)
def test_bad_input(spvos_eval: Command, tmp_path: Path, clip: Clip, arguments: str, named: str) -> None:
    masks = clip[1]
    for name in ("pred", "truth", "many/a", "many/b", "others/c", "others/d"):
        write_masks(tmp_path / name, masks)
    write_masks(tmp_path / "blank", [np.zeros_like(ids) for ids in masks])
    write_masks(tmp_path / "square", [ids[:, :96] for ids in masks])
    write_label_video(tmp_path / "lossy.mkv", masks, "yuv420p")
    (tmp_path / "empty").mkdir()
    (tmp_path / "colours").mkdir()
    write_masks(tmp_path / "broken", masks)
    for t, ids in enumerate(masks):
        Image.fromarray(ids[..., None] * np.array([10, 20, 30], np.uint8)).save(
            tmp_path / f"colours/{t:05d}.png"
        )
    for file in ("text.png", "nothing.mkv", "broken/00002.png"):
        (tmp_path / file).write_text("no picture")
    code, out, err = spvos_eval(f"{arguments} --threads 1")
    assert (code, out) == (2, "")
    assert named in err.splitlines()[-1]


def test_bad_masks_found_by_another_process(spvos_eval: Command, tmp_path: Path, clip: Clip) -> None:
    for name in ("a", "b"):
        write_masks(tmp_path / "truth" / name, clip[1])
        write_masks(tmp_path / "pred" / name, clip[1])
    (tmp_path / "pred/b/00004.png").write_text("no picture")
    code, out, err = spvos_eval("--pred pred --truth truth --threads 2")
    assert (code, out) == (2, "")
    assert "00004.png: not readable as an image" in err.splitlines()[-1]
