"""`spvos train`: every recipe, every dataset, what is said about bad ones, and many processes."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spvos_cli.model.checkpoint import build_model, load_checkpoint, save_weights
from spvos_cli.training.state import read_state
from tests.conftest import run_to_end
from tests.training.conftest import NARROW, SMALL

SHORT = "--iterations 2 --batch-size 2 --side 64 --workers 0"


def test_several_datasets(spvos_train, davis: Path, stills: Path, youtube: Path, start: Path) -> None:
    code, out, err = spvos_train(
        f"--dataset davis:3,stills:1,youtube-vos --data {davis} --data {stills} --data {youtube} "
        f"--init {start} --held-out two --json {SHORT}"
    )
    assert code == 0, err
    assert "1 sequences (weight 3) and 8 sequences (weight 1) and 2 sequences (weight 1); 1 held out" in err
    found = json.loads(out)
    assert 0 <= found["J&F-Mean"] <= 1
    assert 0 <= found["J&F-Start"] <= 1
    run = Path("spvos_run")
    assert load_checkpoint(run / "weights.safetensors").config == SMALL
    assert load_checkpoint(run / "best.safetensors").config == SMALL
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == [0, 2, 2]
    assert (run / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_run_with_named_choices_resumes(spvos_train, davis: Path, start: Path) -> None:
    choices = "--method triple --objective cost --learn gates --sparse-gap 1 --sparse-motion 0"
    command = f"--dataset davis --data {davis} --held-out none {SHORT}"
    code, _, err = spvos_train(f"{command} --init {start} {choices}")
    assert code == 0, err
    options = read_state(Path("spvos_run")).options
    assert (options.objective, options.learn, options.sparse_gap) == ("cost", "gates", 1)
    assert spvos_train(f"{command} --resume")[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dense", "static", "residual", "triple"])
def test_dry_run_of_the_papers_recipe(spvos_train, davis: Path, tmp_path: Path, method: str) -> None:
    save_weights(build_model(NARROW), tmp_path / "narrow.safetensors")
    gates = "" if method == "dense" else "--sparse QD"
    code, _, err = spvos_train(
        f"--recipe paper --model spvos --method {method} {gates} --dataset davis --data {davis} "
        f"--init narrow.safetensors --held-out none {SHORT}"
    )
    assert code == 0, err
    network = load_checkpoint(Path("spvos_run/weights.safetensors"))
    assert network.config.method == method
    state = read_state(Path("spvos_run"))
    assert state.options.recipe == "paper"
    assert state.options.learning_rate == 2e-5


@pytest.mark.slow
def test_rows_of_the_papers_tables_are_one_command(spvos_train, davis: Path, tmp_path: Path) -> None:
    """Table V, temperature 0.5, with another target and structure."""
    save_weights(build_model(NARROW), tmp_path / "narrow.safetensors")
    code, _, err = spvos_train(
        f"--recipe paper --model spvos --method triple --sparse QDM --gate-all --strategy fully --tau 0.5 "
        f"--target 0.2 --gamma 2 --beta 3 --dataset davis --data {davis} --init narrow.safetensors {SHORT}"
    )
    assert code == 0, err
    state = read_state(Path("spvos_run"))
    options, config = state.options, state.config
    assert (options.tau, options.target, options.gamma, options.beta) == (0.5, 0.2, 2.0, 3.0)
    assert (config.structure, config.gate_all, config.strategy) == ("QDM", True, "fully")


@pytest.mark.parametrize("kind", ["colour", "inverted grey"])
def test_masks_of_any_kind(
    spvos_train, davis: Path, start: Path, tmp_path: Path, clip: tuple, kind: str
) -> None:
    """One reader for masks: what `segment` takes, `train` takes."""
    shutil.copytree(davis / "JPEGImages/480p/one", tmp_path / "own/images")
    (tmp_path / "own/masks").mkdir()
    for t, ids in enumerate(clip[1]):
        values = (ids == 1).astype(np.uint8)
        image = np.stack([255 * values, 0 * values, 0 * values], axis=2) if kind == "colour" else 255 * values
        Image.fromarray(image).save(tmp_path / f"own/masks/{t:05d}.png")
    code, out, err = spvos_train(f"--init {start} --data own {SHORT}")
    assert code == 0, err
    assert "J&F" in out


def test_frames_of_ones_own(spvos_train, davis: Path, start: Path, tmp_path: Path) -> None:
    """Eight annotated frames: two are held out, and what training gained on them is said."""
    for ours, theirs in (("images", "JPEGImages"), ("masks", "Annotations")):
        shutil.copytree(davis / theirs / "480p" / "one", tmp_path / "own" / ours)
    code, out, err = spvos_train(f"--init {start} --data own {SHORT}")
    assert code == 0, err
    assert "on 1 sequences (weight 1); 1 held out" in err
    before, after = out.removeprefix("J&F on held-out frames: ").split(" -> ")
    assert all(0 <= float(text.strip().removesuffix(" %")) <= 100 for text in (before, after))


def long_run(davis: Path, start: Path) -> list[str]:
    """60 iterations with a checkpoint every five; --out is to be added."""
    return [
        sys.executable,
        "-m",
        "spvos_cli",
        "train",
        *f"""--dataset davis --data {davis} --init {start}
        --iterations 60 --batch-size 2 --side 64 --workers 1 --save-every 5 --held-out none""".split(),
    ]


def stop(command: list[str], folder: Path, number: int) -> int:
    """Sends a signal to the whole process group once there is a checkpoint of five iterations; the exit
    code."""
    started = subprocess.Popen(
        [*command, "--out", str(folder)], stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while position(folder) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(started.pid, number)
    return started.wait()


@pytest.mark.slow
def test_terminated_run_saves_where_it_stands(davis: Path, start: Path, tmp_path: Path) -> None:
    assert stop(long_run(davis, start), tmp_path / "run", signal.SIGTERM) == 143
    assert 5 <= read_state(tmp_path / "run").trainer["iteration"] < 60


@pytest.mark.slow
def test_killed_run_resumes_with_the_losses_of_an_unbroken_one(
    davis: Path, start: Path, tmp_path: Path
) -> None:
    command = long_run(davis, start)
    whole = subprocess.run([*command, "--out", str(tmp_path / "whole")], capture_output=True, check=False)
    assert whole.returncode == 0, whole.stderr
    broken = tmp_path / "broken"
    stop(command, broken, signal.SIGKILL)
    stood = read_state(broken).trainer["iteration"]
    assert 5 <= stood <= 55
    resumed = subprocess.run([*command, "--out", str(broken), "--resume"], capture_output=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    one, other = (read_state(tmp_path / name).trainer for name in ("whole", "broken"))
    assert one["iteration"] == other["iteration"] == 60
    assert all((one["network"][name] == other["network"][name]).all() for name in one["network"])


def position(folder: Path) -> int:
    """The iteration of a run's checkpoint, -1 where there is none yet."""
    return read_state(folder).trainer["iteration"] if (folder / "checkpoint.pt").exists() else -1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "recipe"),
    [
        ("dense", "lite"),
        ("triple", "lite --noise 1"),
        ("triple", "stream"),
        ("triple", "stream --learn gated --teacher {bold}"),
    ],
)
def test_two_processes_train_as_one(
    davis: Path, stills: Path, start: Path, tmp_path: Path, method: str, recipe: str
) -> None:
    bold = load_checkpoint(start)
    bold.decoder.predict.weight.data *= 3
    save_weights(bold, tmp_path / "bold.safetensors")
    recipe = recipe.format(bold=tmp_path / "bold.safetensors")
    gates = "" if method == "dense" else "--sparse D"
    arguments = f"""train --dataset davis,stills --data {davis} --data {stills} --init {start} {gates}
        --method {method} --recipe {recipe} --iterations 6 --batch-size 4 --side 64
        --workers 0 --held-out none --threads 1 --dtype fp32""".split()
    states = []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        run_to_end([*arguments, "--out", str(out)], processes=processes)
        rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        states.append((rows, read_state(out).trainer["network"]))
    if "--teacher" in recipe:  # once, however many processes there are
        held = read_state(tmp_path / "2").trainer
        assert "teacher.predict.weight" in held["loss"]
        assert all(set(each) == {"_extra_state"} for each in held["loss_by_process"])
    (one_rows, one), (two_rows, two) = states
    for first, second in zip(one_rows, two_rows, strict=True):
        for figure in set(first) - {"iteration", "seconds"}:
            assert first[figure] == pytest.approx(second[figure], rel=1e-4)
    torch.manual_seed(0)
    before = load_checkpoint(start, {"method": method, "structure": "D"}, fresh_gates=True).state_dict()
    moved, apart = (distance(one, other) for other in (before, two))
    assert apart < 0.05 * moved  # Adam turns rounding of tiny gradients into whole steps


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The Euclidean distance of two sets of weights."""
    return sum(float((one[name].float() - other[name].float()).square().sum()) for name in one) ** 0.5


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("", "nothing to train on"),
        ("--dataset davis --data gone", "gone: no such folder"),
        ("--dataset wolf", "'wolf'"),
        ("--dataset davis:x", "'x'"),
        ("--dataset stills --data .", "no images with masks"),
        ("--dataset youtube-vos --data .", "lacks train/meta.json"),
        ("--data gone", "gone: no such folder"),
        ("--data .", "no frames with masks"),
        ("--dataset davis --resume --out nothing", "nothing: no checkpoint.pt"),
        ("--dataset davis --data a --data b", "2 folders for 1 datasets"),
        ("--dataset davis --data half", "one has 8 frames, 1 of them without a mask"),
        ("--dataset youtube-vos --data bare", "1 of 1 videos without annotated frames"),
        ("--dataset davis --data whole --tensorboard --iterations 1", "--tensorboard: "),
        ("--dataset davis --data whole --recipe paper --model spvos --pretrained gone", "no resnet50*.pth"),
    ],
)
def test_bad_input(spvos_train, davis: Path, start: Path, tmp_path: Path, arguments: str, named: str) -> None:
    shutil.copytree(davis, tmp_path / "whole")
    shutil.copytree(davis, tmp_path / "half")
    (tmp_path / "half/Annotations/480p/one/00003.png").unlink()
    (tmp_path / "bare/train").mkdir(parents=True)
    (tmp_path / "bare/train/meta.json").write_text('{"videos": {"x": {}}}')
    init = "" if "--pretrained" in arguments else f"--init {start}"
    code, out, err = spvos_train(f"{arguments} {init}")
    line = err.splitlines()[-1]
    assert code == 2
    assert out == ""
    assert named in line


def test_mean_of_weights(spvos_train, davis: Path, start: Path) -> None:
    network, other = load_checkpoint(start), load_checkpoint(start)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(2.0)
    save_weights(other, Path("other.safetensors"))
    command = f"--dataset davis --data {davis} --held-out two --workers 0 --iterations 0 --json"
    code, out, err = spvos_train(f"{command} --init {start} --init other.safetensors")
    assert code == 0, err
    scores = json.loads(out)
    assert scores["J&F-Mean"] == scores["J&F-Start"]
    mean = load_checkpoint(Path("spvos_run/weights.safetensors"))
    for found, parameter in zip(mean.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(found, parameter + 1)


def test_mean_of_different_networks(spvos_train, davis: Path, start: Path) -> None:
    save_weights(build_model(dataclasses.replace(SMALL, top_k=7)), Path("other.safetensors"))
    code, _, err = spvos_train(f"--dataset davis --data {davis} --init {start} --init other.safetensors")
    assert code == 2
    assert "other.safetensors: top_k 7" in err.splitlines()[-1]


def test_nothing_is_overwritten(spvos_train, davis: Path, start: Path) -> None:
    arguments = f"--dataset davis --data {davis} --init {start} --held-out none {SHORT}"
    assert spvos_train(arguments)[0] == 0
    code, _, err = spvos_train(arguments)
    assert code == 2
    assert "spvos_run: a run is there already" in err
