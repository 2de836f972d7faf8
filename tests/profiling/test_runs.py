"""Whole runs of a video, timed stage by stage."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spvos_cli.inference.engine import EngineOptions
from spvos_cli.profiling.runs.growth import FRAMES, LINES, OBJECTS, on_canvas, time_growth, to_and_fro
from spvos_cli.profiling.runs.stages import MAIN, PLACES, REST, StageClock, owner_of
from spvos_cli.profiling.runs.timing import counted
from spvos_cli.profiling.runs.variants import cut_mask, variants_of

QUICK = ("--threads", "1", "--dtype", "fp32", "--engine", "torch")


def test_every_place_is_there_and_is_left_as_it_was() -> None:
    before = [owner_of(place).__dict__[place.name] for place in PLACES]
    with StageClock(torch.device("cpu")).installed():
        assert all(owner_of(p).__dict__[p.name] is not b for p, b in zip(PLACES, before, strict=True))
    assert [owner_of(place).__dict__[place.name] for place in PLACES] == before


def test_a_stage_counts_its_own_time() -> None:
    """Not that of the stages in it; what is in none is the rest."""
    clock = StageClock(torch.device("cpu"))
    clock.end_frame()
    with clock.stage("outer"):
        time.sleep(0.02)
        with clock.stage("inner"):
            time.sleep(0.05)
    time.sleep(0.03)
    clock.end_frame()
    frame = clock.frames[MAIN][1]
    least = {"outer": 20, "inner": 50, REST: 30}
    assert frame.keys() == least.keys()
    assert all(frame[name].ms >= ms - 0.5 for name, ms in least.items())
    assert frame["inner"].cpu_ms < 25  # it slept
    total = sum(stage.ms for stage in frame.values())
    assert frame["outer"].ms <= total - 79


def test_a_video_from_end_to_end(spvos, tmp_path: Path, video: Path, mask: Path) -> None:
    plot = tmp_path / "stages.png"
    code, out, err = spvos(
        f"profile --speed --video {video} --mask {mask} --cycles 2 --objects 2 --vary region --plot {plot}"
        f" --json {' '.join(QUICK)}"
    )
    assert code == 0, err
    speed = json.loads(out)["speed"]
    first, second = speed["runs"]
    assert speed["ms_median"] == first["end_to_end"]["ms_median"] > first["network"]["ms_median"] / 2 > 0
    assert (first["name"], first["region"], first["objects"]) == ("as the options say", "auto", 2)
    assert (second["name"], second["region"], second["objects"]) == ("region off", "off", 2)
    named = {(stage["thread"], stage["stage"]) for stage in first["stages"]}
    assert {("main", "encode query"), ("reader", "decode video"), ("writer", "write PNG")} <= named
    assert {("main", "match"), ("main", "wait for writers"), ("writer", "paint overlay")} <= named
    assert np.asarray(Image.open(plot)).std() > 0


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("--speed --video VIDEO", "no mask given"),
        ("--speed --video VIDEO --mask MASK --vary wolf", "--vary wolf"),
        ("--speed --video VIDEO --mask MASK --plot THERE", "it exists already"),
        ("--growth THERE", "it exists already"),
        ("--speed --video gone.mp4 --mask MASK", "gone.mp4"),
    ],
)
def test_what_cannot_be_timed(spvos, tmp_path: Path, video: Path, mask: Path, words: str, named: str) -> None:
    there = tmp_path / "there.png"
    there.touch()
    for name, path in {"VIDEO": video, "MASK": mask, "THERE": there}.items():
        words = words.replace(name, str(path))
    code, out, err = spvos(f"profile {words} {' '.join(QUICK)}")
    assert (code, out) == (2, "")
    assert named in err.splitlines()[-1]


def test_variants_differ_in_one_thing() -> None:
    engine = EngineOptions(dtype="fp32", engine="torch", device="cpu")
    found = variants_of(engine, 2, ("objects", "dtype", "region"))
    assert [(v.objects, v.engine.dtype, v.engine.region) for v in found] == [
        (2, "fp32", "auto"),
        (1, "fp32", "auto"),
        (5, "fp32", "auto"),
        (2, "bf16", "auto"),
        (2, "fp32", "off"),
    ]


def test_cut_mask() -> None:
    ids = np.zeros((20, 30), np.uint8)
    ids[5:15, 10:20] = 7
    cut = cut_mask(ids, 5)
    assert np.array_equal(cut > 0, ids > 0)
    assert np.bincount(cut.ravel())[1:].tolist() == [20] * 5
    assert (np.diff(cut[5:15, 10:20].astype(int), axis=0) >= 0).all()


def test_frames_that_count() -> None:
    assert counted(list(range(30))) == list(range(10, 29))
    assert counted(list(range(8))) == [4, 5, 6]
    assert counted([1]) == [1]


def test_growth(monkeypatch: pytest.MonkeyPatch, video: Path, mask: Path) -> None:
    """Of frames of every size that is asked for, and as many as the length says."""
    seen: list[tuple[int, int, int]] = []

    def times(segmenter, images, ids) -> list[float]:
        images = list(images)
        seen.append((*images[0].shape[:2], len(images)))
        return [float(len(np.unique(ids)) - 1)] * max(FRAMES, len(images))

    monkeypatch.setattr("spvos_cli.profiling.runs.growth.frame_times", times)
    found = time_growth(EngineOptions(dtype="fp32", engine="torch"), video, mask, length=50)
    assert found["objects"] == [[n, n] for n in OBJECTS]
    assert [height for height, *_ in seen[len(OBJECTS) : -1]] == list(LINES)
    assert seen[-1][2] == 50
    assert found["length"][-1][0] == 50


@pytest.mark.parametrize("lines", [48, 200])
def test_on_canvas(lines: int) -> None:
    """The object stays as large as it is, and in the frame."""
    ids = np.zeros((96, 128), np.uint8)
    ids[60:80, 90:110] = 1
    image = np.repeat(ids[..., None], 3, axis=2) * 100
    frame, mask = on_canvas(image, lines, ids), on_canvas(ids, lines, ids)
    assert frame.shape[:2] == mask.shape == (lines, round(lines * 16 / 9))
    assert mask.sum() == 400
    assert (frame[mask == 1] == 100).all()


def test_to_and_fro() -> None:
    frames = to_and_fro([np.full(1, n) for n in range(4)])
    assert [int(next(frames)[0]) for _ in range(9)] == [0, 1, 2, 3, 2, 1, 0, 1, 2]
