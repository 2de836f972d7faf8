"""Runs on a card: their steps stand for themselves, and all of them are rehearsed on a CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

RUN = """
import sys, time
from tools.card.steps import Step, emit, main, skip

def works(rehearse):
    emit(name="first", value=0.123456)
    emit(name="second", other=rehearse)

def hangs(rehearse):
    emit(name="before")
    time.sleep(60)

def fails(rehearse):
    raise ValueError("broken")

STEPS = {"hangs": Step(2, hangs), "fails": Step(20, fails), "works": Step(20, works),
         "cannot": Step(20, lambda rehearse: skip("not here"))}
if __name__ == "__main__":
    main("prepared", STEPS)
"""


def run(module: str, *arguments: str, out: Path, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OUT": str(out), "PYTHONPATH": f"{path}{os.pathsep}{ROOT}", "MINUTES": "0.5"}
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_each_step_stands_for_itself(tmp_path: Path) -> None:
    """One that hangs, or fails, costs its own time and no other's; what it had found is kept."""
    (tmp_path / "prepared.py").write_text(RUN)
    done = run("prepared", "--rehearse", out=tmp_path, path=tmp_path)
    assert done.returncode == 1
    outcomes = {o["name"]: o for o in json.loads((tmp_path / "prepared.json").read_text())}
    states = {name: outcome["state"] for name, outcome in outcomes.items()}
    assert states == {"hangs": "out of time", "fails": "failed (1)", "works": "done", "cannot": "skipped"}
    assert outcomes["hangs"]["rows"] == [{"name": "before"}]
    assert outcomes["works"]["rows"] == [
        {"name": "first", "value": 0.123456},
        {"name": "second", "other": True},
    ]
    assert "ValueError: broken" in (tmp_path / "prepared.log").read_text()
    table = (tmp_path / "prepared.md").read_text()
    assert "| name | value | other |" in table
    assert "| first | 0.123 |  |" in table
    assert done.stdout.rstrip().endswith(table.rstrip())


def test_only_the_steps_that_are_named(tmp_path: Path) -> None:
    (tmp_path / "prepared.py").write_text(RUN)
    assert run("prepared", "works", out=tmp_path, path=tmp_path).returncode == 0
    (outcome,) = json.loads((tmp_path / "prepared.json").read_text())
    assert outcome["rows"][1] == {"name": "second", "other": False}
    done = run("prepared", "unknown", out=tmp_path, path=tmp_path)
    assert done.returncode == 2
    assert "no such step: unknown" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["right", "fast", "train"])
def test_rehearsal(name: str, tmp_path: Path) -> None:
    done = run(f"tools.card.{name}", "--rehearse", out=tmp_path)
    outcomes = json.loads((tmp_path / f"{name}.json").read_text())
    assert {outcome["state"] for outcome in outcomes} <= {"done", "skipped"}, done.stdout[-3000:]
    assert sum(outcome["state"] == "done" for outcome in outcomes) >= 3
