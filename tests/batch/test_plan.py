"""What is checked before the first frame is read, and what an earlier run spares a later one."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spvos_cli.batch.job_file import BadRow, rows_of
from spvos_cli.batch.naming import MaskFolder, expand, fill_in
from spvos_cli.batch.plan import Plan, make_plan
from spvos_cli.batch.work import Ended, Event, JobRunner, Progress, Said
from spvos_cli.errors import InputError
from spvos_cli.video.grab_cut import suggest_with_grab_cut
from spvos_cli.video.suggest import Suggest
from tests.batch.conftest import FRAMES
from tests.conftest import make_frame, write_mask

DEFAULTS = {"output": ["out/{name}", "{name}.jsonl"], "dtype": "fp32"}
Run = Callable[..., list[str]]


def plan_of(*rows: dict[str, Any], mask_dir: bool = True, **defaults: Any) -> Plan:
    masks = MaskFolder(Path("masks")) if mask_dir else None
    return make_plan(rows_of(rows), DEFAULTS | defaults, masks)


@pytest.mark.usefixtures("clips")
def test_jobs() -> None:
    box = "1:1,2,9,9"
    Path("out").mkdir()
    plan = plan_of({"input": "a.mp4"}, {"input": "b.mp4", "end": 2, "output": ["x"]}, start="1", box=box)
    assert plan.results == {}
    first, second = plan.jobs.values()
    assert (first.outputs, second.outputs) == (("out/a", "a.jsonl"), ("x",))
    assert (first.masks, first.options.box) == ((), box)
    assert (first.frames, second.frames) == (FRAMES - 1, 1)
    assert (first.options.start, first.engine.dtype) == ("1", "fp32")


@pytest.mark.usefixtures("clips")
def test_a_worker_loads_the_network_of_clicks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []

    def load(*arguments: object) -> Suggest:
        loaded.append(arguments)
        return suggest_with_grab_cut

    monkeypatch.setattr("spvos_cli.inference.clicks.load_suggest", load)
    Path("out").mkdir()
    plan = plan_of(*({"input": f"{name}.mp4", "box": "30,20,50,50"} for name in "abc"), mask_dir=False)
    runner = JobRunner(1, lambda event: None)
    assert all(runner.run(job).summary is not None for job in plan.jobs.values())
    assert (len(plan.jobs), len(loaded)) == (3, 1)


@pytest.mark.usefixtures("clips")
def test_masks_by_name() -> None:
    Path("masks/b").mkdir()
    plan = plan_of(
        {"input": "a.mp4"},
        {"input": "b.mp4"},
        {"input": "c.mp4", "mask": ["2:masks/a.png"], "output": ["c2"]},
        {"input": "masks/c.png"},
    )
    assert [job.masks for job in plan.jobs.values()] == [
        ("masks/a.png",),
        ("2:masks/a.png",),
        ("masks/c.png",),
    ]
    (bad,) = plan.bad
    assert "masks: b, b.png, each of which could be the masks of b" in bad.reason
    Path("b.mp4").rename("d.mp4")
    (bad,) = plan_of({"input": "d.mp4"}).bad
    assert "masks: no masks of d; expected one of d.png and a folder d (--mask-dir" in bad.reason
    with pytest.raises(InputError, match="--mask-dir"):
        MaskFolder(Path("a.mp4"))


BAD_ROWS: list[tuple[dict[str, Any], str]] = [
    ({"input": "gone.mp4"}, "gone.mp4: no such file"),
    ({}, "no input"),
    ({"input": "-"}, "standard input"),
    ({"input": "a.mp4", "output": ["-"]}, "-o -: standard output"),
    ({"input": "a.mp4", "output": ["{title}"]}, "{title}: {title}; expected {name}, {parent}, {number}"),
    ({"input": "a.mp4", "stride": 0}, "--stride 0: out of range"),
    ({"input": "a.mp4", "output": ["x.mkv"], "contour": 3}, "--contour: it has no effect here"),
    ({"input": "a.mp4", "weights": "gone.safetensors"}, "gone.safetensors: no such file"),
    ({"input": "a.mp4", "output": ["gone/a.mp4"]}, "gone/a.mp4: no folder gone"),
    ({"input": "a.mp4", "output": ["full"]}, "full: it exists already"),
    ({"input": "a.mp4", "output": ["masks"], "overwrite": True}, "masks: it holds the input"),
    ({"input": "c.mp4", "output": ["frames/new"]}, "frames/new: it lies in the input frames"),
    ({"input": "c.mp4", "output": ["b.mp4"], "overwrite": True}, "b.mp4: it is the input b.mp4"),
    ({"input": "b.mp4", "output": ["out/A"]}, "out/A: the output of a.mp4, too"),
]


@pytest.mark.usefixtures("clips")
def test_all_bad_rows_are_told(tmp_path: Path) -> None:
    """Each in its place, and the others are jobs."""
    for name in ("full", "frames"):
        (tmp_path / name).mkdir()
        write_mask(tmp_path / name / "0.png", make_frame(0)[1])
    good = [{"input": "a.mp4"}, {"input": "b.mp4"}, {"input": "frames", "mask": ["masks/a.png"]}]
    plan = make_plan(
        [*rows_of([*good, *(row for row, _ in BAD_ROWS)]), BadRow("jobs.csv:9", "no JSON")],
        DEFAULTS,
        MaskFolder(Path("masks")),
    )
    assert list(plan.jobs) == [0, 1, 2]
    for found, (row, reason) in zip(plan.bad, BAD_ROWS, strict=False):
        assert reason in found.reason
        assert found.input == row.get("input", "")
    assert [found.reason for found in plan.bad[len(BAD_ROWS) :]] == ["no JSON"]
    before = {path for path in tmp_path.rglob("*") if "masks" not in path.parts}
    assert {path.name for path in before} == {"a.mp4", "b.mp4", "c.mp4", "full", "frames", "0.png"}


@pytest.fixture
def run(clips: Path, weights: Path) -> Run:
    """Segments rows in this process; what became of each: kept, done, or why not."""
    runner = JobRunner(1, lambda event: None)

    def run(*rows: dict[str, Any], **defaults: Any) -> list[str]:
        plan = plan_of(*rows, **{"weights": str(weights), "engine": "torch"} | defaults)
        found = {place: result.reason or result.status for place, result in plan.results.items()}
        for place, job in plan.jobs.items():
            ended: Ended = runner.run(job)
            found[place] = ended.reason or "done"
        return [found[place] for place in sorted(found)]

    return run


def test_only_what_is_missing_or_changed_is_done(run: Run, clips: Path) -> None:
    rows = [{"input": f"{name}.mp4"} for name in "ab"]
    assert run(*rows) == ["done", "done"]
    files = {path: path.stat().st_mtime_ns for path in clips.rglob("*") if path.is_file()}
    assert run(*rows, {"input": "c.mp4"}) == ["kept", "kept", "done"]
    assert {path: path.stat().st_mtime_ns for path in files} == files
    os.utime(clips / "a.mp4")
    assert run(*rows) == ["kept", "kept"]  # the content counts
    Path("out/a/00001.png").unlink()
    assert run(*rows) == ["done", "kept"]
    write_mask(Path("masks/b.png"), np.where(make_frame(1)[1] == 1, 1, 0).astype(np.uint8))
    assert run(*rows) == ["kept", "done"]
    assert set(np.unique(np.array(Image.open("out/b/00000.png")))) == {0, 1}
    assert run(*rows, end=3) == ["done", "done"]
    assert len(list(Path("out/a").iterdir())) == 3
    Path("a.mp4").write_bytes(Path("c.mp4").read_bytes())
    assert run({"input": "a.mp4", "end": 3}) == ["done"]


def test_what_spvos_did_not_write_is_not_replaced(run: Run) -> None:
    """Unless --overwrite says so."""
    row = {"input": "a.mp4"}
    assert run(row) == ["done"]
    mended = Path("out/a/00002.png")
    write_mask(mended, np.zeros((96, 128), np.uint8))
    (found,) = run(row, end=3)
    assert found.startswith("out/a/00002.png: it was changed after spvos wrote it")
    assert run(row, end=3, overwrite=True) == ["done"]
    Path("b.jsonl").write_text("mine")
    (found,) = run({"input": "b.mp4"})
    assert found.startswith("b.jsonl: it exists already")
    assert Path("b.jsonl").read_text() == "mine"
    assert run(row, end=3, output=["out/a", "b.jsonl"])[0].startswith("b.jsonl: it exists already")


def test_what_fails_leaves_nothing(run: Run, clips: Path) -> None:
    """A picture in the middle is none: all that was written before it goes."""
    (clips / "frames").mkdir()
    for t in range(6):
        Image.fromarray(make_frame(t)[0]).save(clips / "frames" / f"{t}.png")
    (clips / "frames" / "4.png").write_bytes(b"none")
    before = set(clips.rglob("*"))
    row = {"input": "frames", "mask": ["masks/a.png"], "output": ["f", "f.objects", "f.mkv"]}
    (found,) = run(row)
    assert "4.png" in found
    assert set(clips.rglob("*")) == before


def test_a_video_goes_on_where_it_was_interrupted(
    clips: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --resume; without, it begins anew, and what the interrupted run left is its own to replace."""
    monkeypatch.setattr("spvos_cli.batch.work.PACE", 0)
    options = {"weights": str(weights), "engine": "torch", "mem_every": 1, "save_every": 0.0}
    (video,) = plan_of({"input": "a.mp4"}, **options).jobs.values()
    resumed = video._replace(options=dataclasses.replace(video.options, resume=True))

    def interrupt(event: Event) -> None:
        if isinstance(event, Progress) and event.done == 3:
            raise KeyboardInterrupt

    for job, goes_on in ((resumed, True), (video, False)):
        with pytest.raises(KeyboardInterrupt):
            JobRunner(1, interrupt).run(video)
        assert Path("out/a.resume").exists()
        assert plan_of({"input": "a.mp4"}, **options).jobs.keys() == {0}
        events: list[Event] = []
        assert JobRunner(1, events.append).run(job).summary is not None
        assert any(isinstance(e, Said) and e.text.startswith("goes on") for e in events) == goes_on
        assert len(list(Path("out/a").iterdir())) == FRAMES
        assert not Path("out/a.resume").exists()
        Path("out/a.done").unlink()
        for file in [*Path("out/a").iterdir(), Path("a.jsonl")]:
            file.unlink()


def test_several_inputs(clips: Path) -> None:
    for name in ("x", "y"):
        (clips / "shots" / name).mkdir(parents=True)
        write_mask(clips / "shots" / name / "0.png", make_frame(0)[1])
    assert expand(("*.mp4",)) == ["a.mp4", "b.mp4", "c.mp4"]
    assert expand(("shots/*", "a.mp4", "gone.mp4")) == ["shots/x", "shots/y", "a.mp4", "gone.mp4"]
    assert expand(("masks/*.png", "a.mp4")) == ["masks/*.png", "a.mp4"]
    with pytest.raises(
        InputError, match=r"masks/a.png: a picture, one of 2 among 3 .*'masks/\*.png', in quotes"
    ):
        expand(("masks/a.png", "masks/b.png", "a.mp4"))


def test_names(clips: Path) -> None:
    (clips / "shots" / "x.1").mkdir(parents=True)
    assert fill_in("{parent}/{name}_{number}", "a.mp4", 7) == f"{clips.name}/a_00007"
    assert fill_in("{parent}-{name}", "shots/x.1", 1) == "shots-x.1"
    assert fill_in("{name}", "shots/x.1/*.png", 1) == "x.1"
