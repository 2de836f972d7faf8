"""A Ray cluster of two nodes on this machine, of which a worker and then a whole node is killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spvos_cli import load_model, segment_video
from tests.batch.test_command import ROOT, outputs
from tests.conftest import make_frame, write_mask, write_video

CLIPS, FRAMES = 5, 8


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """With a CPU in each node."""
    utils = pytest.importorskip("ray.cluster_utils")
    monkeypatch.setenv("PYTHONPATH", ROOT)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # paths of sockets must be short
    (folder / "ray").mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = utils.Cluster(initialize_head=True, head_node_args=node)
    cluster.add_node(**node)
    yield cluster
    cluster.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def actors() -> list[int]:
    """Processes of workers, the oldest first."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cmdline").read_bytes().startswith(b"ray::Actor"):
                found.append(int(process.name))
    return sorted(found)


def wait_until(process: subprocess.Popen[str], happened: Any) -> None:
    deadline = time.monotonic() + 300
    while not happened() and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)


@pytest.mark.slow
def test_a_worker_and_a_node_are_lost(tmp_path: Path, weights: Path, cluster: Any) -> None:
    """All is done, and byte for byte as on one machine."""
    for number in range(CLIPS):
        frames, masks = zip(*(make_frame((t + number) % 14) for t in range(FRAMES)), strict=True)
        write_video(tmp_path / f"{number}.mp4", list(frames))
        (tmp_path / "masks").mkdir(exist_ok=True)
        write_mask(tmp_path / f"masks/{number}.png", masks[0])
    rows = [{"input": f"{number}.mp4", "mask": f"masks/{number}.png"} for number in range(CLIPS)]
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, rows)))

    (tmp_path / "there").mkdir()
    command = [sys.executable, "-m", "spvos_cli", "segment", "--jobs", "jobs.jsonl", "--json"]
    command += ["--cluster", cluster.address, "-o", "there/{name}", "-o", "there/{name}.mkv"]
    command += ["--weights", str(weights), "--dtype", "fp32", "--engine", "torch"]
    pipe = subprocess.PIPE
    there = subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True)
    wait_until(there, lambda: list(tmp_path.glob("there/*/00001.png")))
    os.kill(actors()[0], signal.SIGKILL)
    wait_until(there, lambda: list(tmp_path.glob("there/*.done")) and len(actors()) == 2)
    cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
    out, err = there.communicate(timeout=300)
    assert there.returncode == 0, err
    assert "tried again: its worker died" in err
    found = json.loads(out)
    assert (found["done"], found["frames"]) == (CLIPS, CLIPS * FRAMES)
    network = load_model(weights=weights, dtype="fp32", engine="torch", device="cpu")
    for number in range(CLIPS):
        places = [tmp_path / "here" / name for name in (f"{number}", f"{number}.mkv")]
        places[0].mkdir(parents=True)
        masks = tmp_path / f"masks/{number}.png"
        segment_video(tmp_path / f"{number}.mp4", masks, places, network=network, threads=1)
    assert outputs(tmp_path / "there") == outputs(tmp_path / "here")
