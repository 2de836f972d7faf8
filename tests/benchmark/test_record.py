"""Finished sequences are taken over only where everything that made their masks is the same."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import spvos_cli
from spvos_cli.benchmark import record
from spvos_cli.benchmark.record import RESOLVED, code_digest, run_settings
from spvos_cli.evaluation.report.results import SequenceRun
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.option import option
from spvos_cli.ui import Reporter
from tests.benchmark.test_datasets import FAST
from tests.conftest import HEIGHT, WIDTH, Command, write_mask

REUSED = "2 of 2 sequences are finished already"


@pytest.fixture
def arguments(davis: Path, weights: dict[str, Path]) -> str:
    return f"--dataset davis --data {davis} --weights {weights['dense']} {FAST}"


def test_finished_sequences_are_not_run_again(spvos_eval: Command, arguments: str, davis: Path) -> None:
    """They are named in the JSON summary and marked in the table."""
    first, second = spvos_eval(arguments), spvos_eval(arguments)
    assert "finished already" not in first[2]
    assert REUSED in second[2]
    assert json.loads(first[1]) | {"reused": ["one", "two"]} == json.loads(second[1])
    write_mask(davis / "Annotations/480p/two/00000.png", np.ones((HEIGHT, WIDTH), np.uint8))
    out = spvos_eval(arguments.replace("--json", ""))[1].splitlines()
    table = {line.split()[0]: line.split()[1] for line in out if line.split()}
    assert table["one"] == "*"
    assert table["two"] != "*"
    assert "--fresh" in out[-1]
    (folder,) = Path("spvos_eval/davis-2016-val").iterdir()
    (folder / "masks/one/00003.png").unlink()
    assert "1 of 2 sequences are finished already" in spvos_eval(arguments)[2]


@pytest.mark.parametrize("changed", ["--top-k 3", "--size 64", "--mem-every 2", "--fresh", "weights"])
def test_other_options_and_weights(
    spvos_eval: Command, arguments: str, weights: dict[str, Path], tmp_path: Path, changed: str
) -> None:
    """Weights count by what is in the file, whatever its name."""
    mine = tmp_path / "mine.safetensors"
    shutil.copy(weights["dense"], mine)
    arguments = arguments.replace(str(weights["dense"]), str(mine))
    spvos_eval(arguments)
    if changed == "weights":
        shutil.copy(weights["other"], mine)
    code, out, err = spvos_eval(arguments if changed == "weights" else f"{arguments} {changed}")
    assert code == 0
    assert "finished already" not in err
    assert json.loads(out)["reused"] == []


def test_edited_code_and_another_torch(
    spvos_eval: Command, arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    shutil.copytree(Path(spvos_cli.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(record, "PACKAGE", package)
    spvos_eval(arguments)
    assert REUSED in spvos_eval(arguments)[2]
    with (package / "model/network.py").open("a") as file:
        file.write("\n")
    assert "finished already" not in spvos_eval(arguments)[2]
    assert REUSED in spvos_eval(arguments)[2]
    monkeypatch.setattr("torch.__version__", "99.0")
    assert "finished already" not in spvos_eval(arguments)[2]


@pytest.mark.slow
def test_what_edited_code_gives(arguments: str, tmp_path: Path) -> None:
    """A copy of the package that is edited to find nothing between two runs."""
    shutil.copytree(Path(spvos_cli.__file__).parent, tmp_path / "spvos_cli")

    def score() -> float:
        command = [sys.executable, "-m", "spvos_cli", "eval", *arguments.split(), "--out", "kept"]
        own = os.environ | {"PYTHONPATH": str(tmp_path)}
        done = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)["J-Mean"]

    before = score()
    with (tmp_path / "spvos_cli/inference/segmenter.py").open("a") as file:
        file.write(
            "\n_step = VideoSegmenter.step\nVideoSegmenter.step = lambda *a, **k: 0 * _step(*a, **k)\n"
        )
    assert score() != before


def test_digest_of_code(tmp_path: Path) -> None:
    """Names and contents count; caches and other files do not."""
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "b.cu").write_text("2")
    digests = [code_digest(tmp_path)]
    for edit in (
        lambda: (tmp_path / "a.py").write_text("3"),
        lambda: (tmp_path / "b.cu").write_text("4"),
        lambda: (tmp_path / "a.py").rename(tmp_path / "c.py"),
    ):
        edit()
        digests.append(code_digest(tmp_path))
    assert len(set(digests)) == 4
    (tmp_path / "c.pyc").write_text("5")
    assert code_digest(tmp_path) == digests[-1]


def test_every_option_of_the_engine_counts(weights: dict[str, Path]) -> None:
    """Also one that does not exist yet."""
    fields = {field.name for field in dataclasses.fields(EngineOptions)}
    assert fields >= RESOLVED
    new = ("later", str, option("yes", "An option of a later version."))
    later = dataclasses.make_dataclass("Later", [new], bases=(EngineOptions,), frozen=True)
    engine = later(weights=weights["dense"], dtype="fp32", threads=1)
    found = run_settings(engine.segmenter(Reporter(quiet=True)), engine)
    assert found["later"] == "yes"
    assert fields - RESOLVED <= set(found)


def test_records_of_another_form() -> None:
    run = SequenceRun(8, 1.5, {"D": 1}, {"D": 2}, {"conv": [1, 2, 3, 4, 5]}, (128, 96), 2)
    stored = json.loads(json.dumps(run.to_json()))
    assert SequenceRun.from_json(stored) == run
    for wrong in (
        {name: value for name, value in stored.items() if name != "objects"},
        stored | {"more": 1},
        stored | {"frames": "8"},
        stored | {"size": None},
    ):
        with pytest.raises(TypeError):
            SequenceRun.from_json(wrong)
