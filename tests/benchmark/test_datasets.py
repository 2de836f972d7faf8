"""`spvos eval --dataset`: every benchmark, from the command line to what it leaves."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spvos_cli.model.checkpoint import build_model, save_weights
from spvos_cli.model.hosts import HOSTS
from spvos_cli.profiling.cost import Video, mean_macs
from tests.conftest import HEIGHT, LENGTH, WIDTH, run_to_end, write_mask
from tests.evaluation.conftest import Clip, Command
from tests.hosts import small
from tests.training.conftest import SMALL

FAST = "--dtype fp32 --threads 1 --json"
MEASURED = ("fps", "scored", "reused")  # what differs from run to run


def scores(out: str) -> dict:
    return {name: value for name, value in json.loads(out).items() if name not in MEASURED}


def run_folder(benchmark: str) -> Path:
    (folder,) = Path("spvos_eval", benchmark).iterdir()
    return folder


def test_davis(spvos_eval: Command, davis: Path, weights: dict[str, Path]) -> None:
    """The figures are those of the masks that it wrote."""
    arguments = f"--dataset davis --data {davis} --year 2017 --weights {weights['dense']} {FAST}"
    code, out, err = spvos_eval(arguments)
    assert code == 0, err
    found = json.loads(out)
    assert found["frames"] == LENGTH + 6
    assert found["fps"] > 0
    assert set(found["objects"]) == {"one_1", "one_2", "two_1", "two_2"}
    folder = run_folder("davis-2017-val")
    assert (folder / "per-sequence_results-val.csv").read_text().startswith("Sequence,J-Mean,F-Mean\none_1,")
    again = scores(spvos_eval(f"--pred {folder / 'masks'} --truth {davis} --json --threads 1")[1])
    for column in ("J&F-Mean", "J-Recall", "F-Decay", "objects", "sequences"):
        assert again[column] == found[column]
    first = np.array(Image.open(folder / "masks/one/00000.png"))
    assert np.array_equal(first, np.array(Image.open(davis / "Annotations/480p/one/00000.png")))


@pytest.mark.parametrize("host", [host for host in HOSTS if host != "lite"])
def test_a_host_of_which_no_weights_ship(spvos_eval: Command, davis: Path, tmp_path: Path, host: str) -> None:
    network = build_model(small(host))
    weights = tmp_path / "random.safetensors"
    save_weights(network, weights)
    arguments = f"--dataset davis --data {davis} --year 2017 --model {host} --weights {weights} {FAST}"
    code, out, err = spvos_eval(arguments)
    assert code == 0, err
    assert f"model {host}, weights random.safetensors" in err
    assert set(json.loads(out)["objects"]) == {"one_1", "one_2", "two_1", "two_2"}
    assert len(list((run_folder("davis-2017-val") / "masks/one").iterdir())) == LENGTH


def test_davis_2016_merges_objects(spvos_eval: Command, davis: Path, weights: dict[str, Path]) -> None:
    code, out, _ = spvos_eval(
        f"--dataset davis --data {davis} --only two --weights {weights['dense']} {FAST}"
    )
    assert code == 0
    assert set(json.loads(out)["objects"]) == {"two_1"}
    assert "all ids as one object" in json.loads(out)["protocol"]


def test_youtube_held_out_split(
    spvos_eval: Command, youtube: Path, weights: dict[str, Path], clip: Clip
) -> None:
    """Video 0a is held out: its dog is known from 0b, its zebra, which comes later, from nowhere."""
    arguments = f"--dataset youtube-vos --data {youtube} --split train --weights {weights['dense']} {FAST}"
    code, out, err = spvos_eval(f"{arguments} --only 0a")
    assert code == 0, err
    found = json.loads(out)
    assert found["scored"] == "YouTube-VOS train, every frame, memory every 4 frames"
    columns, objects = found["categories"], found["objects"]
    assert columns["J-seen"] == objects["0a_1"]["J-Mean"]
    assert columns["F-unseen"] == objects["0a_2"]["F-Mean"]
    assert columns["Overall"] == pytest.approx(
        np.mean([columns[f"{m}-{g}"] for m in "JF" for g in ("seen", "unseen")])
    )
    folder = run_folder("youtube-vos-train")
    assert json.loads((folder / "settings.json").read_text())["mem_every"] == 4
    joined = np.array(Image.open(folder / "masks/0a/00004.png"))
    assert np.array_equal(joined == 2, clip[1][4] == 2)
    assert 2 not in np.array(Image.open(folder / "masks/0a/00002.png"))
    with zipfile.ZipFile(folder / "submission.zip") as archive:
        assert archive.namelist() == [f"Annotations/0a/{t:05d}.png" for t in range(0, LENGTH, 2)]


def test_youtube_annotated_frames_without_truth(
    spvos_eval: Command, youtube: Path, weights: dict[str, Path]
) -> None:
    """As validation comes: masks of first appearances only."""
    (youtube / "train").rename(youtube / "valid")
    for name, kept in (("0a", ("00000", "00004")), ("0b", ("00000",))):
        for file in (youtube / "valid/Annotations" / name).iterdir():
            if file.stem not in kept:
                file.unlink()
    code, out, err = spvos_eval(f"--dataset youtube-vos --data {youtube} --weights {weights['dense']} {FAST}")
    assert code == 0, err
    (found,) = json.loads(out)
    assert found["frames"] == LENGTH  # of each video every other frame
    assert "annotated frames only, memory every 4 frames" in err
    assert "nothing is scored here" in err
    with zipfile.ZipFile(run_folder("youtube-vos-valid") / "submission.zip") as archive:
        assert len(archive.namelist()) == LENGTH


def test_folder_with_few_annotated_frames(
    spvos_eval: Command, davis: Path, weights: dict[str, Path], tmp_path: Path
) -> None:
    own = tmp_path / "own"
    (davis / "JPEGImages/480p/one").rename(own.with_name("images"))
    own.mkdir()
    own.with_name("images").rename(own / "images")
    (davis / "Annotations/480p/one").rename(own / "masks")
    for file in (own / "masks").iterdir():
        if file.stem not in ("00000", "00003", "00007"):
            file.unlink()
    code, out, err = spvos_eval(f"--dataset folder --data own --weights {weights['dense']} {FAST}")
    assert code == 0, err
    found = json.loads(out)
    assert found["frames"] == LENGTH
    assert set(found["objects"]) == {"own_1", "own_2"}
    assert found["protocol"].endswith("first frames left out")


def test_report(spvos_eval: Command, davis: Path, weights: dict[str, Path]) -> None:
    """One file with every object's curves, worst frames beside the truth, speed and density."""
    for kind in ("JPEGImages", "Annotations"):
        (davis / kind / "480p/two").rename(davis / kind / "480p/<two>")
    (davis / "ImageSets/2017/val.txt").write_text("one\n<two>\n")
    arguments = f"--dataset davis --data {davis} --year 2017 --weights {weights['triple']} {FAST}"
    code, out, err = spvos_eval(f"{arguments} --report out.html")
    assert code == 0, err
    page, found = Path("out.html").read_text(), json.loads(out)
    assert page.count("<polyline") == 2 * len(found["objects"])
    assert page.count('src="data:image/jpeg;base64,') == 2 * len(found["objects"])
    assert not re.search(r'(src|href)="(?!data:)|@import|url\(', page)
    assert "&lt;two&gt;_1" in page
    assert "<two>" not in page
    assert f"{100 * found['J&F-Mean']:.1f}" in page
    assert f"{found['density']:.3f}" in page
    assert f"{100 * found['policies']['reuse']:.1f} % reused" in page
    assert spvos_eval(f"{arguments} --report out.html")[0] == 2


def test_what_gates_decided(spvos_eval: Command, davis: Path, weights: dict[str, Path]) -> None:
    """By layer; and without REUSE, which only triple gates have beside SKIP."""
    arguments = f"--dataset davis --data {davis} --year 2017 --weights {weights['triple']} {FAST}"
    reused, skipped = (json.loads(spvos_eval(f"{arguments} {more}")[1]) for more in ("", "--no-reuse"))
    for layer in reused["layers"].values():
        assert layer["skip"] + layer["reuse"] + layer["compute"] == pytest.approx(1)
        assert 0 <= layer["varying"] <= 1
    assert len(reused["layers"]) == 6
    assert any(layer["varying"] > 0 for layer in reused["layers"].values())
    assert reused["policies"]["reuse"] > 0
    assert skipped["policies"]["reuse"] == 0
    code, _, err = spvos_eval(f"{arguments} --method dense --no-reuse")
    assert code == 2
    assert "--no-reuse" in err


@pytest.mark.slow
def test_comparison(spvos_eval: Command, davis: Path, weights: dict[str, Path]) -> None:
    arguments = (
        f"--dataset davis --data {davis} --year 2017 --weights {weights['triple']} --compare dense,triple"
    )
    code, out, err = spvos_eval(f"{arguments} {FAST} --report out.html")
    assert code == 0, err
    found = json.loads(out)
    dense, triple = found["dense"], found["triple"]
    assert dense["density"] is None
    assert 0 < triple["density"] < 1
    assert sum(triple["policies"].values()) == pytest.approx(1)
    assert dense["J&F-Mean"] != triple["J&F-Mean"]
    videos = [Video(LENGTH, 2, WIDTH, HEIGHT), Video(6, 2, WIDTH, HEIGHT)]
    for method, shares in (("dense", {}), ("triple", {"D": triple["density"]})):
        with torch.device("meta"):
            network = build_model(dataclasses.replace(SMALL, method=method))
        expected = mean_macs(network, videos, shares)["total"]
        assert found[method]["macs_g"]["total"] == pytest.approx(expected / 1e9)
    assert "Methods side by side" in Path("out.html").read_text()
    code, out, err = spvos_eval(f"{arguments} --dtype fp32 --threads 1")
    assert code == 0
    assert "2 of 2 sequences are finished already" in err
    assert [line.split()[:2] for line in out.splitlines()[2:4]] == [["dense", "*"], ["triple", "*"]]
    assert "--fresh" in out.splitlines()[-1]


@pytest.mark.parametrize("more", ["", " --compare dense,triple"])
@pytest.mark.parametrize("empty", ["masks", "list"])
def test_nothing_to_score(
    spvos_eval: Command, davis: Path, weights: dict[str, Path], empty: str, more: str
) -> None:
    """No object in any mask, or no sequence in the list: one line."""
    for file in davis.glob("Annotations/480p/*/*.png") if empty == "masks" else ():
        write_mask(file, np.zeros((HEIGHT, WIDTH), np.uint8))
    if empty == "list":
        (davis / "ImageSets/2017/val.txt").write_text("")
    code, out, err = spvos_eval(
        f"--dataset davis --data {davis} --year 2017 --weights {weights['triple']} {FAST}{more}"
    )
    assert (code, out) == (2, "")
    assert "no object in a frame that counts" in err.splitlines()[-1]


@pytest.mark.slow
def test_two_processes_give_the_table_of_one(davis: Path, weights: dict[str, Path], tmp_path: Path) -> None:
    arguments = f"""eval --dataset davis --data {davis} --year 2017 --weights {weights["triple"]} {FAST}
        --report {tmp_path}/NAME.html --out {tmp_path}/NAME""".split()
    found = {}
    for name, processes in (("one", 1), ("two", 2)):
        found[name] = scores(
            run_to_end([word.replace("NAME", name) for word in arguments], processes=processes)
        )
        assert (tmp_path / f"{name}.html").read_text().count("data:image/jpeg") == 8
    assert found["one"] == found["two"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("--dataset davis --data gone", "gone: no such folder"),
        ("--dataset davis --data davis --split wolf", "it lacks ImageSets/2016/wolf.txt"),
        ("--dataset davis --data davis --only one,wolf", "--only one,wolf: 1 unknown names, 'wolf'"),
        ("--dataset youtube-vos --data youtube", "it lacks valid/meta.json"),
        ("--dataset youtube-vos --data cut --split train", "0a lacks 1 frames, 00002"),
        ("--dataset youtube-vos --data bare --split train --frames all", "train_all_frames: no such folder"),
        ("--dataset folder --data .", "no frames with masks"),
        ("--dataset davis --data davis --compare dense", "--compare dense: no such methods"),
        ("--dataset davis --data davis --compare dense,wolf", "--compare dense,wolf: no such methods"),
        ("--dataset davis --data davis --compare dense,triple --csv x", "--csv: it has no effect here"),
        ("--dataset davis --data davis --method triple", "--method triple: "),
        ("--dataset davis --data davis --out /proc/out", "/proc/out"),
    ],
)
def test_bad_input(
    spvos_eval: Command, davis: Path, youtube: Path, weights: dict[str, Path], arguments: str, named: str
) -> None:
    shutil.copytree(youtube, "cut")
    Path("cut/train_all_frames/JPEGImages/0a/00002.jpg").unlink()
    shutil.copytree(youtube / "train", "bare/train")
    code, out, err = spvos_eval(f"{arguments} --weights {weights['dense']}")
    assert (code, out) == (2, "")
    assert named in err.splitlines()[-1]
