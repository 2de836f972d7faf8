"""`spvos segment`, from the command line to the files it leaves."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from spvos_cli.__main__ import main
from spvos_cli.data.demo_scene import scene
from spvos_cli.segment.demo import demo_score
from tests.conftest import LENGTH, write_mask, write_video

Clip = tuple[list[np.ndarray], list[np.ndarray]]


@pytest.fixture
def spvos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs `spvos ARGUMENTS` in a fresh folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["spvos", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            main()
        out, err = capsys.readouterr()
        return exit.value.code or 0, out, err

    return run


def read_labels(folder: Path) -> list[np.ndarray]:
    return [np.array(Image.open(path)) for path in sorted(folder.iterdir())]


def mean_overlap(labels: list[np.ndarray], truth: list[np.ndarray]) -> float:
    return np.mean(
        [((a == b) & (b > 0)).sum() / ((a > 0) | (b > 0)).sum() for a, b in zip(labels, truth, strict=True)]
    )


def test_main_job(spvos, video: Path, mask: Path, clip: Clip) -> None:
    code, out, err = spvos("segment", video, "--mask", mask)
    assert code == 0
    assert out == ""
    assert "model lite" in err
    labels = read_labels(Path("clip_masks"))
    assert len(labels) == LENGTH
    assert np.array_equal(labels[0], clip[1][0])
    assert mean_overlap(labels, clip[1]) > 0.7
    assert sorted(path.name for path in Path("clip_masks").iterdir())[-1] == f"{LENGTH - 1:05d}.png"
    with av.open("clip_overlay.mp4") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == LENGTH
    inside = (clip[1][0] == 2) & (np.roll(clip[1][0], 6, axis=0) == 2)
    tinted = frames[0][inside].mean(axis=0) - clip[0][0][inside].mean(axis=0)
    assert tinted[1] > 20  # the second colour of the palette is green


def test_json_summary(spvos, video: Path, mask: Path) -> None:
    code, out, err = spvos(
        "segment", video, "-m", mask, "-o", "labels", "--json", "--quiet", "--dtype", "fp32"
    )
    result = json.loads(out)
    assert (code, err) == (0, "")
    assert result["frames"] == LENGTH
    assert result["objects"] == 2
    assert result["outputs"] == ["labels"]
    assert min(result["fps"], result["seconds"], result["peak_rss_mib"]) > 0


def test_overlay_keeps_irregular_times_rotation_and_audio(spvos, tmp_path: Path, clip: Clip) -> None:
    pts = [0, 3000, 9000, 9600, 20000, 21000, 21500, 40000]
    video = write_video(tmp_path / "odd.mp4", clip[0], pts, rotation=90, sound=True)
    turned = write_mask(tmp_path / "turned.png", np.ascontiguousarray(np.rot90(clip[1][0])))
    assert spvos("segment", video, "--mask", turned, "-o", "overlay.mp4")[0] == 0
    with av.open("overlay.mp4") as container, av.open(str(video)) as source:
        assert [p.size for p in container.demux(audio=0)] == [p.size for p in source.demux(audio=0)]
    with av.open("overlay.mp4") as container:
        frames = list(container.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx([p / 90000 for p in pts], abs=1e-4)
    assert (frames[0].height, frames[0].width, frames[0].rotation) == (128, 96, 0)


def test_image_folder_keeps_names(spvos, tmp_path: Path, mask: Path, clip: Clip) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for t, image in enumerate(clip[0]):
        Image.fromarray(image).save(folder / f"img{t + 7}.png")
    assert spvos("segment", folder, "--mask", mask, "-o", "out")[0] == 0
    assert {path.stem for path in Path("out").iterdir()} == {f"img{t + 7}" for t in range(LENGTH)}


def test_standard_input(spvos, video: Path, mask: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mkv = write_stream(video)
    with mkv.open("rb") as stream:
        monkeypatch.setattr(sys, "stdin", type("Input", (), {"buffer": stream}))
        assert spvos("segment", "-", "--mask", mask, "-o", "out")[0] == 0
    assert len(read_labels(Path("out"))) == LENGTH


def write_stream(video: Path) -> Path:
    """The same video in a container that needs no seeking."""
    path = video.with_suffix(".mkv")
    with av.open(str(video)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return path


def test_masks_of_later_frames(spvos, tmp_path: Path, video: Path, clip: Clip) -> None:
    first = write_mask(tmp_path / "one.png", np.where(clip[1][2] == 1, 1, 0).astype(np.uint8))
    second = write_mask(tmp_path / "two.png", np.where(clip[1][4] == 2, 2, 0).astype(np.uint8))
    code, _, _ = spvos("segment", video, "--mask", f"2:{first}", "--mask", f"4:{second}", "-o", "out")
    assert code == 0
    present = [set(np.unique(labels)) - {0} for labels in read_labels(Path("out"))]
    assert present == [set(), set(), {1}, {1}, {1, 2}, {1, 2}, {1, 2}, {1, 2}]


USUAL = "clip.mp4 --mask first.png"
BAD_INPUTS = {  # arguments -> what the one line names
    "gone.mp4 --mask first.png": "gone.mp4: no such file",
    "text.mp4 --mask first.png": "text.mp4: not readable as video",
    "nothing.mp4 --mask first.png": "nothing.mp4: an empty file",
    "sound.mp4 --mask first.png": "sound.mp4: no video stream",
    "images --mask first.png": "images: a folder without images",
    "clip.mp4": "clip.mp4: no mask",
    "clip.mp4 --mask gone.png": "gone.png: no such file",
    "clip.mp4 --mask text.mp4": "text.mp4: not readable as a video",
    "clip.mp4 --mask empty.png": "empty.png: no object",
    "clip.mp4 --mask square.png": "square.png: 96x96 pixels; expected the frames' 128x96",
    f"{USUAL} -o o.png -o o.png": "the same output twice",
    f"{USUAL} -o - --json": "standard output is an output already",
    f"{USUAL} -o - --resume": "--resume: standard output",
    f"{USUAL} --start 5 --end 5": "--end 5: not after --start 5",
    f"{USUAL} --start soon": "--start soon: no frame and no time",
    f"{USUAL} --backward -o o.soft": "--backward: an output of probabilities",
    f"{USUAL} --colours 300=red": "--colours 300=red: '300=red'",
    "clip.mp4 --box 1,2,3": "--box 1,2,3: no box",
    "clip.mp4 --click 1": "--click 1: no click",
    "clip.mp4 --box 500,2,3,3": "--box 500,2,3,3: it lies outside",
    "http://127.0.0.1:9/clip.mp4 --mask first.png": "a network address",
    "list.m3u8 --mask first.png": "list.m3u8: not readable as video",
    "list.ffconcat --mask first.png": "list.ffconcat: not readable as video",
    f"{USUAL} -o full": "full: it exists already",
    f"{USUAL} -o there.mp4": "there.mp4: it exists already",
    f"{USUAL} -o gone/out.mp4": "gone/out.mp4: no folder gone",
    f"{USUAL} -o /proc/out": "/proc/out: ",
    f"{USUAL} -o /proc/out.mp4": "/proc/out.mp4: ",
    f"{USUAL} -o out.docx": "out.docx: unknown suffix",
    f"{USUAL} --model spvos": "--model spvos: no weights",
    f"{USUAL} --weights gone.pth": "gone.pth: no such file",
    f"{USUAL} --device cpu --dtype fp16": "--dtype fp16",
    f"{USUAL} --colour": "--colour",
    f"{USUAL} --demo": "--demo",
}


@pytest.fixture
def bad_files(tmp_path: Path, video: Path, mask: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "nothing.mp4").write_bytes(b"")
    (tmp_path / "list.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\nclip.mp4\n#EXT-X-ENDLIST\n"
    )
    (tmp_path / "list.ffconcat").write_text("ffconcat version 1.0\nfile clip.mp4\n")
    write_mask(tmp_path / "empty.png", np.zeros((96, 128), np.uint8))
    write_mask(tmp_path / "square.png", np.ones((96, 96), np.uint8))
    (tmp_path / "images").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "00000.png").write_bytes(b"")
    (tmp_path / "there.mp4").write_bytes(b"")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        audio = container.add_stream("aac", rate=44100, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        samples.rate = 44100
        container.mux(audio.encode(samples))
        container.mux(audio.encode(None))


@pytest.mark.usefixtures("bad_files")
@pytest.mark.parametrize("arguments", BAD_INPUTS)
def test_bad_input_ends_with_one_line(spvos, tmp_path: Path, arguments: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    code, out, err = spvos("segment", *arguments.split())
    assert code == 2
    assert out == ""
    *remarks, line = err.splitlines()
    assert BAD_INPUTS[arguments] in line
    assert not [remark for remark in remarks if not remark.startswith("model ")]
    assert sorted(tmp_path.rglob("*")) == before


def test_overwrite(spvos, video: Path, mask: Path) -> None:
    """Only where it is asked for, and then nothing of the old run is left among the new one's files."""
    usual = ("segment", video, "--mask", mask, "-o", "out", "-o", "out.mp4")
    assert spvos(*usual)[0] == 0
    first = {path: path.read_bytes() for path in [*Path("out").iterdir(), Path("out.mp4")]}
    assert len(first) == LENGTH + 1
    code, _, err = spvos(*usual, "--end", "3")
    assert (code, err.splitlines()[-1].split(": it")[0]) == (2, "spvos: out")
    assert {path: path.read_bytes() for path in first} == first
    assert spvos(*usual, "--end", "3", "--overwrite")[0] == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["00000.png", "00001.png", "00002.png"]
    with av.open("out.mp4") as container:
        assert len(list(container.decode(video=0))) == 3


def test_demo(spvos) -> None:
    code, _, err = spvos("segment", "--demo", "-o", "demo")
    assert code == 0
    score = float(err.split("rendered truth: ")[1].split()[0])
    assert 80 <= score <= 100
    assert "demo/overlay.mp4" in err
    truth = [labels for _, labels in scene()]
    assert demo_score([truth[0]] * len(truth), truth) < 0.5


def test_decisions_are_painted(spvos, video: Path, mask: Path, weights: Path, clip: Clip) -> None:
    """Frames in which everything was computed are as they are, the others tinted."""
    command = "segment", video, "--mask", mask, "--weights", weights, "--mem-every", 4, "-o"
    assert spvos(*command, "run_policies.mp4")[0] == 0
    with av.open("run_policies.mp4") as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(shown) == len(clip[0])
    distances = [np.abs(a.astype(int) - b).mean() for a, b in zip(shown, clip[0], strict=True)]
    dense, sparse = [distances[t] for t in (0, 1, 4)], [distances[t] for t in (2, 3, 5)]
    assert max(dense) < 8
    assert min(sparse) > 20
    code, _, err = spvos(*command, "other_policies.mp4", "--method", "dense")
    assert code == 2
    assert err.splitlines()[-1].startswith("spvos: -o policies.mp4: a network without gates")
