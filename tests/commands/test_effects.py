"""Options that are taken have an effect: with each of them something of the result is another."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from spvos_cli.__main__ import main
from spvos_cli.commands import profile, segment
from spvos_cli.commands.parameters import Command
from spvos_cli.model.checkpoint import load_checkpoint, save_weights
from tests.conftest import make_frame, write_mask, write_video

FRAMES = 12
USUAL = "--weights w.safetensors --dtype fp32 --threads 1 --mem-every 4 -o labels -o overlay.mp4 -o r.soft"

SEGMENT = {  # option -> what it is tried with, beside "in.mp4 --mask first.png"
    "box": "--box 5,12,60,48",
    "click": "--click 14,24-",
    "start": "--start 2",
    "end": "--end 5",
    "stride": "--stride 2",
    "output": "-o other",
    "preview": "--preview 3",
    "overlay_alpha": "--overlay-alpha 0.9",
    "contour": "--contour 5",
    "show_names": "--show-names",
    "colours": "--colours blue",
    "weights": "--weights other.safetensors",
    "method": "--method dense",
    "strategy": "--strategy fully",
    "gate": "--gate module",
    "size": "--size 64",
    "mem_every": "--mem-every 2",
    "top_k": "--top-k 1",
    "max_memory": "--max-memory 0 --mem-every 1",
    "reuse": "--no-reuse",
    "flip": "--flip",
    "dtype": "--dtype bf16",
    "quiet": "--quiet",
    "json": "--json",
    "input": "other.mp4",
    "mask": "--mask 3:later.png",
    "fps": "--fps 12",
    "track": "--track 1",
    "range": "--range 0,4095",
    "model": "--model spvos",
    "sparse": "--sparse Q",
    "gate_all": "--gate-all",
}
ELSEWHERE = {  # option -> where its effect is tested
    "demo": "tests/segment/test_segment_command.py",
    "backward": "tests/segment/test_segment_options.py",
    "live": "tests/segment/test_segment_options.py",
    "format": "tests/segment/test_segment_options.py",
    "allow_network": "tests/commands/test_effects.py",
    "resume": "tests/segment/test_resume.py",
    "save_every": "tests/segment/test_resume.py",
    "overwrite": "tests/segment/test_segment_command.py",
    "device": "tests/segment/test_segment_command.py",
    "threads": "tests/segment/test_api.py",
    "engine": "tests/model/test_backends.py",
    "region": "tests/inference/test_region.py",
    "long_memory": "tests/inference/test_stream.py",
    "mask_dir": "tests/batch/test_plan.py",
    "jobs": "tests/batch/test_command.py",
    "workers": "tests/batch/test_command.py",
    "cluster": "tests/batch/test_command.py",
}
SIZE = "--frame 96x64"
PROFILE = {  # option -> what it is tried with, and what beside it and "--model spvos"
    "params": ("--params", "--flops"),
    "flops": ("--flops", "--params"),
    "layers": ("--layers", "--params"),
    "frame": ("--frame 64x64", SIZE),
    "objects": ("--objects 3", SIZE),
    "video_list": ("--video-list list.csv", ""),
    "density": ("--density D=0.1,Q=0.1", SIZE),
    "model": ("--model lite", SIZE),
    "method": ("--method static", SIZE),
    "sparse": ("--sparse D", SIZE),
    "gate_all": ("--gate-all", SIZE),
    "strategy": ("--strategy fully", SIZE),
    "gate": ("--gate module", SIZE),
    "mem_every": ("--mem-every 2", SIZE),
    "json": ("--json", SIZE),
    "quiet": ("--quiet", SIZE),
}
IN_SPEED = {
    "speed",
    "growth",
    "length",
    "plot",
    "vary",
    "region",
    "compare",
    "cycles",
    "top_k",
    "device",
    "engine",
    "dtype",
    "threads",
    "tune",
}  # times, not counts
IN_GATES = {"patterns", "video", "mask", "weights", "paper"}  # tests/profiling/test_profile.py


def test_no_option_is_forgotten() -> None:
    assert {parameter.name for parameter in Command(segment.segment)} == set(SEGMENT) | set(ELSEWHERE)
    assert {p.name for p in Command(profile.profile)} == set(PROFILE) | IN_SPEED | IN_GATES
    root = Path(__file__).parents[2]
    for name, file in ELSEWHERE.items():
        text = (root / file).read_text()
        assert f"--{name.replace('_', '-')}" in text or f"{name}=" in text, name


class Result(NamedTuple):
    """What a command left: its exit code, whether it printed, what it said (without times), what it wrote."""

    code: int
    out: str
    said: list[str]
    files: dict[str, bytes]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """in.mp4, other.mp4, masks, two files of weights, a list of videos."""
    folder = tmp_path_factory.mktemp("effects")
    frames, masks = zip(*(make_frame(t) for t in range(FRAMES)), strict=True)
    write_video(folder / "in.mp4", list(frames))
    write_video(folder / "other.mp4", list(frames[::-1]))
    write_mask(folder / "first.png", np.where(masks[0] == 1, 1, 0).astype(np.uint8))
    write_mask(folder / "later.png", np.where(masks[3] == 2, 2, 0).astype(np.uint8))
    (folder / "w.safetensors").write_bytes(weights.read_bytes())
    network = load_checkpoint(weights)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.1)
    save_weights(network, folder / "other.safetensors")
    (folder / "list.csv").write_text("frames,objects,width,height\n7,2,64,64\n")
    return folder


def run(folder: Path, command: str) -> Result:
    """`spvos COMMAND` in the folder; what it writes is taken away."""
    before, out, err = set(folder.rglob("*")), io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["spvos", *command.split()])
        with pytest.raises(SystemExit) as end:
            main()
    said = [line for line in err.getvalue().splitlines() if " frames in " not in line]
    new = sorted(set(folder.rglob("*")) - before, reverse=True)
    found = {str(path.relative_to(folder)): path.read_bytes() for path in new if path.is_file()}
    for path in new:  # what is in a folder comes before it
        path.rmdir() if path.is_dir() else path.unlink()
    return Result(int(end.value.code or 0), out.getvalue(), said, found)


@pytest.fixture(scope="module")
def usual(folder: Path) -> Result:
    """Without any of the options that are tried; the same twice."""
    first, second = (run(folder, f"segment in.mp4 --mask first.png {USUAL}") for _ in range(2))
    assert first.code == 0
    assert first == second
    return first


@pytest.mark.parametrize("name", SEGMENT)
def test_segment_makes_something_else_of_it(folder: Path, usual: Result, name: str) -> None:
    """Other results, or one line that says why not."""
    changed = f"segment in.mp4 --mask first.png {USUAL} {SEGMENT[name]}"
    if name == "input":
        changed = f"segment {SEGMENT[name]} --mask first.png {USUAL}"
    found = run(folder, changed)
    assert found != usual
    if found.code != 0:
        assert found.code == 2
        assert found.said[-1].startswith("spvos: ")


@pytest.mark.parametrize("name", PROFILE)
def test_profile_counts_something_else(folder: Path, name: str) -> None:
    words, beside = PROFILE[name]
    as_json = "" if name in ("json", "quiet") else "--json"
    results = []
    for more in ("", words):
        found = run(folder, f"profile --model spvos {beside} {more} {as_json}")
        assert found.code == 0, found.said
        counts = json.loads(found.out) if as_json else {"text": found.out}
        results.append({key: value for key, value in counts.items() if key != "environment"})
    assert results[0] != results[1]


def test_an_address_needs_permission(folder: Path) -> None:
    """Nothing listens there."""
    command = f"segment http://127.0.0.1:9/in.mp4 --mask first.png {USUAL}"
    refused, tried = run(folder, command), run(folder, f"{command} --allow-network")
    assert refused.code == tried.code == 2
    assert "a network address" in refused.said[-1]
    assert "a network address" not in tried.said[-1]
