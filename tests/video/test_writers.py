"""Every output format: what is in it, that it goes on where it was cut off, and what is left when it is."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spvos_cli.video.matte import soft_alpha
from spvos_cli.video.paint import cut_out, paint_overlay
from spvos_cli.video.writers.choose import FILES, FOLDERS
from spvos_cli.video.writers.sheet import grid_of
from tests.video.writing import (
    TIMES,
    MemorySource,
    decode,
    fill_disk,
    in_process,
    segmented,
    setting,
    write_and_die,
    write_in_two_runs,
)

VIDEOS = [".mp4", ".mkv", ".mov", ".webm"]


@pytest.mark.parametrize("suffix", VIDEOS)
def test_videos_keep_times_and_are_joined(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    frames = write_in_two_runs(FILES[suffix], path)
    form = {".mp4": "rgb24", ".mkv": "gray"}.get(suffix, "rgba")
    shown, times = decode(path, form, "libvpx-vp9" if suffix == ".webm" else None)
    assert times == pytest.approx([t / 1000 for t in TIMES], abs=6e-4)
    assert sorted(tmp_path.iterdir()) == [path]
    for picture, frame in zip(shown, frames, strict=True):
        if suffix == ".mkv":
            assert np.array_equal(picture, frame.labels)
        elif suffix == ".mp4":
            wanted = paint_overlay(frame.frame.image, frame.labels, setting().look)
            assert np.abs(picture.astype(int) - wanted).mean() < 8
        else:
            wanted = cut_out(frame.frame.image, soft_alpha(frame.labels, frame.facts.soft))
            assert np.mean((picture[..., 3] > 127) == (wanted[..., 3] > 127)) > 0.995
            inside = wanted[..., 3] > 0
            assert np.abs(picture[inside].astype(int) - wanted[inside]).mean() < 14


def test_prores_says_that_it_has_alpha(tmp_path: Path) -> None:
    import av

    write_in_two_runs(FILES[".mov"], tmp_path / "out.mov")
    with av.open(str(tmp_path / "out.mov")) as container:
        assert container.streams.video[0].codec_context.codec_tag == "ap4h"


@pytest.mark.parametrize("suffix", VIDEOS)
def test_odd_sizes(tmp_path: Path, suffix: str) -> None:
    source = MemorySource(67, 45)
    writer = FILES[suffix](tmp_path / f"out{suffix}", setting(source))
    for t in range(2):
        writer.write(segmented(t, 67, 45))
    writer.close()
    shown, _ = decode(tmp_path / f"out{suffix}", "rgb24")
    assert shown[0].shape == ((46, 68, 3) if suffix == ".mp4" else (45, 67, 3))


@pytest.mark.parametrize("suffix", VIDEOS)
def test_pieces_play_when_killed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    assert in_process(write_and_die, FILES[suffix], path) == -signal.SIGKILL
    (piece,) = (tmp_path / f"out{suffix}.part").iterdir()
    assert len(decode(piece, "gray")[0]) >= 5  # some containers close a frame when the next one comes


def test_label_and_cutout_folders(tmp_path: Path) -> None:
    for suffix, make in FOLDERS.items():
        frames = write_in_two_runs(make, tmp_path / f"out{suffix}")
    assert not list(tmp_path.rglob("*.part"))
    for t, frame in enumerate(frames):
        read = {s: np.array(Image.open(tmp_path / f"out{s}" / f"{t:05d}.png")) for s in ("", ".rgba")}
        assert np.array_equal(read[""], frame.labels)
        alpha = soft_alpha(frame.labels, frame.facts.soft)
        assert set(np.unique(alpha)) > {0, 255}
        assert np.array_equal(read[".rgba"], cut_out(frame.frame.image, alpha))
        mots = np.array(Image.open(tmp_path / "out.mots" / f"{t:05d}.png"))
        assert mots.dtype == np.uint16
        assert np.array_equal(mots, np.select([frame.labels == 1, frame.labels == 2], [1001, 1002]))
        for i in (1, 2):
            white = np.array(Image.open(tmp_path / "out.objects" / str(i) / f"{t:05d}.png"))
            assert np.array_equal(white, (frame.labels == i) * 255)
            soft = np.array(Image.open(tmp_path / "out.soft" / str(i) / f"{t:05d}.png"))
            assert soft.max() == round(0.75 * 65535)
            assert np.array_equal(soft > 0, frame.labels == i)


def test_coco_is_what_pycocotools_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.coco import COCO

    frames = write_in_two_runs(FILES[".json"], tmp_path / "out.json")
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
    coco = COCO(str(tmp_path / "out.json"))
    capsys.readouterr()
    names = [image["file_name"] for image in coco.loadImgs(coco.getImgIds())]
    assert names == [f"{t:05d}.png" for t in range(8)]
    assert coco.getCatIds() == [1, 2]
    coco.info()
    assert "Masks of clip" in capsys.readouterr().out
    assert set(coco.dataset) >= {"info", "licenses", "images", "annotations", "categories"}
    assert all({"id", "name", "supercategory"} <= set(category) for category in coco.dataset["categories"])
    assert [category["name"] for category in coco.dataset["categories"]] == ["object 1", "object 2"]
    for t, frame in enumerate(frames):
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[t + 1])):
            mask = frame.labels == annotation["category_id"]
            assert np.array_equal(coco.annToMask(annotation), mask)
            assert annotation["area"] == mask.sum()


def test_records(tmp_path: Path) -> None:
    write_in_two_runs(FILES[".jsonl"], tmp_path / "out.jsonl")
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [record["frame"] for record in records] == list(range(8))
    assert records[0]["objects"][0] == {"id": 1, "area": 900, "box": [10, 20, 30, 30], "confidence": 0.9}
    facts = {key: records[0][key] for key in ("density", "policies", "ms", "events")}
    assert facts == {"density": 0.25, "policies": {"skip": 0.5}, "ms": 12.5, "events": ["shot_cut"]}


def test_contact_sheet_spreads_over_any_length(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    writer = FILES[".png"](path, setting())
    for t in range(50):
        shown = segmented(t % 8)
        writer.write(shown._replace(frame=shown.frame._replace(index=t)))
    kept = sorted(int(file.stem) for file in (tmp_path / "sheet.png.part").iterdir())
    assert kept == list(range(0, 50, 4))
    writer.close()
    writer.clean_up()
    sheet = np.array(Image.open(path))
    cells = sheet.reshape(3, 96, 4, 128, 3).transpose(0, 2, 1, 3, 4).reshape(12, 96, 128, 3)
    assert all(cell.std() > 20 for cell in cells)  # no hole
    assert len({cell[-24:, :70].tobytes() for cell in cells}) == 12  # each has its number
    assert list(tmp_path.iterdir()) == [path]


def test_grid_of_a_contact_sheet() -> None:
    for count in range(1, 21):
        rows, columns = grid_of(count)
        assert columns <= 5
        assert count - 2 <= rows * columns <= count
    assert [grid_of(count) for count in (4, 12, 13, 20)] == [(1, 4), (3, 4), (3, 4), (4, 5)]


@pytest.mark.parametrize("suffix", [*VIDEOS, ".json", ".jsonl", ""])
def test_a_full_disk_is_an_error_of_the_system(tmp_path: Path, suffix: str) -> None:
    assert in_process(fill_disk, (FILES | FOLDERS)[suffix], tmp_path / f"out{suffix}") == 42
    assert not (tmp_path / f"out{suffix}").is_file() or suffix == ".jsonl"
