"""`spvos segment` with many videos: processes, the summary, and what a user sees of what fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.batch.conftest import FRAMES
from tests.conftest import Command

ROOT = str(Path(__file__).parents[2])


def test_workers(spvos: Command, clips: Path, weights: Path) -> None:
    """A table with a bad row: it is told before anything runs, the others are done, and kept when called
    again; a new row is done."""
    (clips / "jobs.csv").write_text("input,end\na.mp4,\nb.mp4,2\ngone.mp4,\n")
    command = f"segment --jobs jobs.csv --mask-dir masks -o out/{{name}} --weights {weights} --workers 1"
    command += " --engine torch"
    code, out, err = spvos(f"{command} --json")
    said = err.splitlines()
    assert code == 1
    assert said[0].startswith("warning: jobs.csv:4: gone.mp4: no such file")
    assert said[1] == "to segment: 2, workers: 1, threads of each: 1"
    assert sum(line.startswith("model lite") for line in said) == 1
    assert said[-1] == "spvos: 1 of 3 videos failed"
    found = json.loads(out)
    assert [video["status"] for video in found["videos"]] == ["done", "done", "failed"]
    assert [video.get("frames") for video in found["videos"]] == [FRAMES, 2, None]
    assert (found["done"], found["kept"], found["failed"], found["frames"]) == (2, 0, 1, FRAMES + 2)
    assert len(list(Path("out/b").iterdir())) == 2
    (clips / "jobs.csv").write_text("input,end\na.mp4,\nb.mp4,2\n")
    code, out, err = spvos(f"{command} --json --quiet")
    assert (code, err) == (0, "")
    assert json.loads(out)["kept"] == 2


@pytest.mark.usefixtures("clips")
def test_nothing_can_be_begun(spvos: Command) -> None:
    code, out, err = spvos("segment gone.mp4 other.mp4 --mask-dir masks --quiet")
    assert (code, out) == (2, "")
    assert [line.split(": ")[1] for line in err.splitlines()] == ["gone.mp4", "other.mp4", "INPUT"]


@pytest.mark.usefixtures("clips")
def test_a_cluster_needs_ray(spvos: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = spvos("segment a.mp4 b.mp4 --mask-dir masks --cluster auto")
    assert code == 2
    line = "spvos: --cluster: Ray is not installed; expected the extra cluster (pip install 'spvos[cluster]')"
    assert err.splitlines()[-1] == line


@pytest.mark.usefixtures("clips")
def test_a_cluster_must_be_there(spvos: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said at once, not after Ray's minutes."""
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))
    code, _, err = spvos("segment a.mp4 b.mp4 --mask-dir masks --cluster 127.0.0.1:9")
    assert code == 2
    assert err.splitlines()[-1].startswith("spvos: --cluster 127.0.0.1:9: Connection refused; expected")


def begin(clips: Path, weights: Path) -> subprocess.Popen[str]:
    """Three videos that take their time, with two workers."""
    command = [sys.executable, "-m", "spvos_cli", "segment", "a.mp4", "b.mp4", "c.mp4", "--mask-dir", "masks"]
    command += [
        "-o",
        "out/{name}",
        "-o",
        "{name}.mkv",
        "-o",
        "{name}_over.mp4",
        "-o",
        "{name}.json",
        "--weights",
        str(weights),
        "--dtype",
        "fp32",
    ]
    command += ["--engine", "torch", "--workers", "2", "--save-every", "0", "--json"]
    environment = os.environ | {"PYTHONPATH": ROOT, "OMP_NUM_THREADS": "2"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=clips, env=environment, stdout=pipe, stderr=pipe, text=True)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)


def outputs(clips: Path) -> dict[str, bytes]:
    """Masks by name, and all that should not be there."""
    files = {*clips.rglob("*"), *clips.rglob(".*")} - {*clips.glob("[abc].mp4"), *clips.rglob("masks/*")}
    files = {file for file in files if file.is_file() and file.suffix != ".done"}
    return {str(file.relative_to(clips)): file.read_bytes() for file in files}


@pytest.mark.slow
def test_killed_workers_and_interrupts(clips: Path, weights: Path) -> None:
    """A worker that is killed is replaced, and its video done; a run that is interrupted ends its workers,
    and the next one makes the same of what was left."""
    right: dict[str, bytes] = {}
    for kind in ("killed", "interrupted"):
        process = begin(clips, weights)
        wait_for(clips / "out/a/00001.png", process)
        workers = workers_of(process)
        assert len(workers) == 2
        if kind == "killed":
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
            out, err = process.communicate(timeout=120)
            assert process.returncode == 0, err
            assert "tried again: its process was killed (SIGKILL)" in err
            assert max(video["tries"] for video in json.loads(out)["videos"]) == 2
        else:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
            assert process.returncode == 130, err
            assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]
            again = begin(clips, weights)
            assert again.wait(120) == 0, again.stderr.read()
        made = outputs(clips)
        assert len(made) == 3 * (FRAMES + 3)
        assert made == (right or made)
        right = made
        for file in [*right, *(f"out/{name}.done" for name in "abc")]:
            (clips / file).unlink()
