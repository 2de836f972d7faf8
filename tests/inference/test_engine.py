"""Options of a network: what they are compared by, and what they leave alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from spvos_cli.inference.engine import EngineOptions
from spvos_cli.resources import weights_folder
from spvos_cli.training.job import TrainingJob


def test_a_resumed_run_knows_weights_by_their_content(weights: Path, tmp_path: Path) -> None:
    """Not by their path, under which other weights may lie by then."""
    one, copy = tmp_path / "one.safetensors", tmp_path / "copy.safetensors"
    for path in (one, copy):
        shutil.copy(weights, path)
    shaping = EngineOptions(weights=one).shaping()
    assert EngineOptions(weights=copy).shaping() == shaping
    assert EngineOptions(weights=str(one)).shaping() == shaping
    assert EngineOptions().shaping() != shaping
    content = bytearray(one.read_bytes())
    content[-1] ^= 1
    one.write_bytes(content)
    assert EngineOptions(weights=one).shaping() != shaping


def test_weights_that_are_not_there_shape_nothing(tmp_path: Path) -> None:
    """Who loads them says so."""
    assert EngineOptions(weights=tmp_path / "none.safetensors").shaping()["weights"] == ""
    assert EngineOptions(model="spvos").shaping()["weights"] == ""


def test_weights_that_ship_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of that name comes first, and what is no name stays a path."""
    shipped = weights_folder() / "large.safetensors"
    assert EngineOptions(weights="large").weights_path() == shipped
    assert TrainingJob(init=(Path("large"),)).init == (shipped,)
    assert EngineOptions(weights="large").network().config.trunk == "lite2"
    monkeypatch.chdir(tmp_path)
    for other in ("larger", "./folder/large", "large.safetensors"):
        assert EngineOptions(weights=other).weights_path() == Path(other)
    Path("large").touch()
    assert EngineOptions(weights="large").weights_path() == Path("large")
