"""What `spvos segment` can be asked for besides the main job, without caring how good the masks are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.segment.api import segment_video
from spvos_cli.segment.events import EventDetector
from spvos_cli.ui import Reporter
from spvos_cli.video.frames import Frame
from spvos_cli.video.matte import soft_alpha
from spvos_cli.video.threads import keep_newest
from tests.conftest import LENGTH, make_frame, write_mask
from tests.video.writing import decode

Clip = tuple[list[np.ndarray], list[np.ndarray]]


class Notes(Reporter):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def segment(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch):
    """`segment_video` in a fresh folder: what it said, and the ids in each label map by name."""
    monkeypatch.chdir(tmp_path)

    def run(input: object, mask: object = (), **options: object) -> tuple[list[str], dict[str, set[int]]]:
        reporter = Notes()
        options = {"output": "out", "weights": weights, "dtype": "fp32", **options}
        segment_video(input, mask, reporter=reporter, **options)
        maps = {file.stem: np.array(Image.open(file)) for file in sorted(Path("out").glob("*.png"))}
        return reporter.lines, {name: set(np.unique(labels).tolist()) - {0} for name, labels in maps.items()}

    return run


def test_unknown_names_are_errors(video: Path, mask: Path) -> None:
    with pytest.raises(TypeError, match="no option colour"):
        segment_video(video, mask, colour="red")


def test_range_and_stride(segment, video: Path, clip: Clip, tmp_path: Path) -> None:
    third = write_mask(tmp_path / "m.png", clip[1][1])
    _, found = segment(video, f"1:{third}", start="0.04s", end=7, stride=3)
    assert list(found) == ["00001", "00004"]


def test_cut_outs_have_the_networks_edges(segment, video: Path, mask: Path) -> None:
    segment(video, mask, output=["out", "x.rgba", "x.soft"], end=2)
    smoothed = []
    for name in ("00000.png", "00001.png"):
        labels, rgba = (np.array(Image.open(f"{folder}/{name}")) for folder in ("out", "x.rgba"))
        soft = np.stack([np.array(Image.open(f"x.soft/{i}/{name}")) / np.float32(65535) for i in (1, 2)])
        wanted = soft_alpha(labels, soft).astype(int)
        assert np.abs(rgba[..., 3] - wanted).max() <= 1
        smoothed.append(np.array_equal(soft_alpha(labels, None), rgba[..., 3]))
    assert not all(smoothed)


def test_images_one_by_one_are_a_folder(segment, clip: Clip, mask: Path, tmp_path: Path) -> None:
    """Also where they are read twice, and where a run is taken up again."""
    (tmp_path / "shot").mkdir()
    files = [tmp_path / f"shot/f{t}.png" for t in (8, 9, 10, 11)]
    for file, image in zip(files, clip[0], strict=False):
        Image.fromarray(image).save(file)
    masks = f"9:{write_mask(tmp_path / 'shot/later.png', clip[1][1])}"
    segment(tmp_path / "shot", masks, backward=True, output="wanted")
    lines, found = segment([*files, tmp_path / "shot/later.png"], masks, backward=True)
    assert list(found) == ["f10", "f11", "f8", "f9"]
    for file in Path("wanted").iterdir():
        assert (Path("out") / file.name).read_bytes() == file.read_bytes()
    assert any("4 images are the frames of one video, in the order given" in line for line in lines)


def test_backward_goes_both_ways(segment, video: Path, clip: Clip, tmp_path: Path) -> None:
    one = write_mask(tmp_path / "1.png", np.where(clip[1][3] == 1, 1, 0).astype(np.uint8))
    two = write_mask(tmp_path / "2.png", np.where(clip[1][6] == 2, 2, 0).astype(np.uint8))
    _, found = segment(
        video, [f"0.12s:{one}", f"6:{two}"], backward=True, output=["out", "x.jsonl", "x.rgba"]
    )
    assert len(found) == LENGTH
    for name, ids in found.items():  # no probabilities are kept from the pass backwards
        labels, alpha = (
            np.array(Image.open(f"out/{name}.png")),
            np.array(Image.open(f"x.rgba/{name}.png"))[..., 3],
        )
        assert np.array_equal(alpha, soft_alpha(labels, None)), ids
    assert all(1 in ids for ids in list(found.values())[2:5])
    assert found["00003"] >= {1}
    records = [json.loads(line) for line in Path("x.jsonl").read_text().splitlines()]
    assert {o["id"] for o in records[5]["objects"]} == {1, 2}
    assert not Path("out.backward").exists()
    labels = np.array(Image.open("out/00006.png"))
    assert np.array_equal(labels == 2, clip[1][6] == 2)


def test_backward_takes_numbers_with_zeros_and_says_what_is_beyond_the_end(
    segment, video: Path, clip: Clip, tmp_path: Path
) -> None:
    later = write_mask(tmp_path / "m.png", clip[1][3])
    _, found = segment(video, f"0003:{later}", backward=True)
    assert all(found.values())
    with pytest.raises(InputError, match="frame 100s is beyond the end"):
        segment(video, f"100s:{later}", backward=True, overwrite=True)


def test_a_box_makes_the_first_mask_and_shows_it(segment, video: Path) -> None:
    notes, found = segment(video, box="2:5,12,60,48")
    assert any("clip_box_2.png" in line for line in notes)
    made = np.array(Image.open("clip_box_2.png"))
    assert set(np.unique(made)) == {0, 1}
    assert (found["00000"], found["00002"]) == (set(), {1})
    assert np.array_equal(np.array(Image.open("out/00002.png")), made)


def test_masks_beyond_the_end(segment, video: Path, mask: Path) -> None:
    notes, _ = segment(video, [mask, f"99:{mask}"])
    assert any("frame 99 is beyond the end; it was not used" in line for line in notes)
    with pytest.raises(InputError, match="frame 99 is beyond the end"):
        segment(video, f"99:{mask}", overwrite=True)


def test_preview_and_looks(segment, video: Path, mask: Path, clip: Clip) -> None:
    assert segment_video(video, mask, ["x.mkv"], preview=9, end=1).outputs == ["x.mkv", "clip_preview"]
    segment(video, mask, preview=3, overwrite=True, overlay_alpha=1.0, contour=0, colours="2=#102030,red")
    assert sorted(p.name for p in Path("clip_preview").iterdir()) == ["00000.png", "00003.png", "00006.png"]
    first = np.array(Image.open("clip_preview/00000.png"))
    assert (first[clip[1][0] == 1] == (255, 0, 0)).all()
    assert (first[clip[1][0] == 2] == (16, 32, 48)).all()


def test_shot_cuts_and_lost_objects_are_said_and_marked() -> None:
    notes: list[str] = []
    detector, areas = EventDetector(notes.append), np.zeros(256, int)
    events = []
    for t in range(12):
        image = make_frame(t)[0] if t < 6 else 255 - make_frame(t)[0][:, ::-1]
        areas[1] = 0 if t in (8, 9) else 50
        events.append(detector.events(Frame(t, np.ascontiguousarray(image), "", t), (1,), areas))
    marks = {t: found for t, found in enumerate(events) if found}
    assert marks == {6: ("shot_cut",), 8: ("lost:1",), 10: ("found:1",)}
    assert [note.split(";")[0] for note in notes] == ["frame 6: a shot cut", "frame 8: object 1 is lost"]


def test_live_input_drops_frames_but_those_with_masks() -> None:
    import time

    notes: list[str] = []
    seen = []
    for item in keep_newest(range(200), keep=lambda item: item in (0, 150), note=notes.append):
        seen.append(item)
        time.sleep(0.01)
    assert seen[-1] == 199
    assert 150 in seen
    assert len(seen) < 20
    assert notes == [f"{200 - len(seen)} frames came too fast and were dropped (--live)"]


def test_objects_are_added_by_hand(weights: Path, clip: Clip) -> None:
    from spvos_cli import load_model

    images, masks = clip
    by_mask, by_hand = (VideoSegmenter(load_model(weights=weights, dtype="fp32")) for _ in range(2))
    assert by_hand.add_object(masks[0] == 1) == 1
    assert by_hand.add_object(masks[0] == 2, id=9) == 9
    by_mask.step(images[0], np.where(masks[0] == 2, 9, masks[0]))
    by_hand.step(images[0])
    assert by_hand.objects == [1, 9]
    assert np.array_equal(by_mask.step(images[1]), by_hand.step(images[1]))
    by_hand.reset()
    assert by_hand.objects == []
    for bad in ({"mask": masks[0] * 0}, {"mask": masks[0], "id": 256}):
        with pytest.raises(ValueError, match=r"empty|255"):
            by_hand.add_object(**bad)


def spvos(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "spvos_cli", *map(str, arguments)]


@pytest.fixture
def environment() -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


def test_between_two_ffmpegs(
    tmp_path: Path, video: Path, mask: Path, weights: Path, ffmpeg: str, environment: dict[str, str]
) -> None:
    pipe = subprocess.PIPE
    reader = subprocess.Popen(
        [ffmpeg, "-v", "error", "-i", video, "-c", "copy", "-f", "matroska", "-"], stdout=pipe
    )
    ours = subprocess.Popen(
        spvos("segment", "-", "--mask", mask, "-o", "-", "-o", tmp_path / "out", "--weights", weights),
        stdin=reader.stdout,
        stdout=pipe,
        stderr=pipe,
        env=environment,
    )
    writer = [ffmpeg, "-v", "error", "-i", "-", "-c:v", "ffv1", str(tmp_path / "piped.mkv")]
    done = subprocess.run(writer, stdin=ours.stdout, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert ours.wait(60) == 0
    assert reader.wait(60) == 0
    labels, times = decode(tmp_path / "piped.mkv", "gray")
    assert times == pytest.approx([t / 25 for t in range(LENGTH)])
    for t, piped in enumerate(labels):
        assert np.array_equal(piped, np.array(Image.open(tmp_path / "out" / f"{t:05d}.png")))


@pytest.mark.parametrize("form", ["mkv", "jsonl"])
def test_a_reader_that_goes_away_is_no_failure(
    video: Path, mask: Path, weights: Path, form: str, environment: dict[str, str]
) -> None:
    command = spvos("segment", video, "--mask", mask, "-o", "-", "--format", form, "--weights", weights)
    pipe = subprocess.PIPE
    ours = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=False, env=environment)
    ours.stdout.read(10)
    ours.stdout.close()
    errors = ours.stderr.read().decode()
    assert ours.wait(60) == 0
    assert len(errors.splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_ends_with_one_line(
    video: Path, mask: Path, weights: Path, environment: dict[str, str]
) -> None:
    command = spvos("segment", video, "--mask", mask, "-o", "-", "--weights", weights)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environment, check=False)
    assert done.returncode == 1
    line = done.stderr.decode().splitlines()[-1]
    assert line == "spvos: standard output: No space left on device; what was written so far is kept"


@pytest.mark.slow
def test_memory_does_not_grow(tmp_path: Path, weights: Path) -> None:
    from tests.measure.memory import measure

    found = measure(240, 80, (128, 96), 2, ["--weights", str(weights)], tmp_path)
    assert found.late <= 1.05 * found.early


def written(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("moment", "options", "named"),
    [
        ("99", {}, "frame 99 is beyond the end"),
        ("100s", {}, "frame 100s is beyond the end"),
        ("99", {"backward": True}, "frame 99 is beyond the end; expected a frame of the video, which has 8"),
        ("100s", {"backward": True}, "frame 100s is beyond the end"),
        ("5", {"end": 3}, "frame 5 is beyond the end"),
        ("0.3s", {"end": "0.1s"}, "frame 0.3s is beyond the end"),
        ("1", {"start": 2}, "frame 1 is passed over"),
        ("3", {"stride": 2}, "frame 3 is passed over"),
    ],
)
def test_masks_that_cannot_come_are_refused_before_anything_is_written(
    segment, video: Path, mask: Path, tmp_path: Path, moment: str, options: dict[str, object], named: str
) -> None:
    before = written(tmp_path)
    with pytest.raises(InputError, match=named):
        segment(video, f"{moment}:{mask}", **options)
    assert written(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "frames"),
    [
        ({}, 8),
        ({"start": 2}, 6),
        ({"end": 3}, 3),
        ({"start": 1, "end": 7, "stride": 4}, 2),
        ({"start": "0.08s", "end": "0.2s"}, 3),
        ({"end": 99}, 8),
    ],
)
def test_the_bar_counts_all_that_is_to_do(
    segment, video: Path, mask: Path, options: dict[str, object], frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    totals: list[int | None] = []

    def track(self: Reporter, items: Iterable[Frame], total: int | None, done: int) -> Iterator[Frame]:
        assert done == 0
        totals.append(total)
        yield from items

    monkeypatch.setattr(Notes, "track", track)
    start = options.get("start", 0)
    _, found = segment(video, f"{start}:{mask}", **options)
    assert totals == [frames] == [len(found)]
