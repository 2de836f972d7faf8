"""The recipe of the network that makes masks of boxes and clicks."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from spvos_cli.data.click_samples import ClickRecipe, ClickSample, ClickSamples
from spvos_cli.data.clips import ClipKey
from spvos_cli.data.folders import WeightedDataset, still_sequences
from spvos_cli.model.checkpoint import load_checkpoint, load_clicks
from spvos_cli.model.clicks import ClickNetwork
from spvos_cli.resources import shipped_weights
from spvos_cli.training.options import ClicksOptions
from spvos_cli.training.recipes import make_dataset
from spvos_cli.training.reports import Reports
from tests.conftest import Command
from tests.training.conftest import trainer_of

SHORT = "--iterations 1 --batch-size 2 --side 64 --threads 1 --workers 0 --dtype fp32 --held-out 00001"


@pytest.fixture(scope="module")
def samples(stills: Path) -> list[ClickSample]:
    dataset = ClickSamples([WeightedDataset(1.0, still_sequences(stills))], ClickRecipe(side=96), seed=0)
    found = [dataset[ClipKey(number, 0.0)] for number in range(40)]
    assert all(torch.equal(a, b) for a, b in zip(dataset[ClipKey(7, 0.5)], found[7], strict=True))
    return found


def test_samples(samples: list[ClickSample]) -> None:
    for sample in samples:
        assert sample.image.shape == (3, 96, 96)
        assert sample.image.dtype == torch.uint8
        assert sample.truth.sum() >= 150
        assert not (sample.box.any() and sample.previous.any())
    boxes = sum(bool(sample.box.any()) for sample in samples)
    masks = sum(bool(sample.previous.any()) for sample in samples)
    assert 12 < boxes < 28
    assert 2 < masks < 16


def test_boxes_lie_about_the_object(samples: list[ClickSample]) -> None:
    differences = []
    for sample in samples:
        if sample.box.any():
            rows, columns = (np.flatnonzero(sample.truth.any(dim=axis)) for axis in (1, 0))
            true = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
            differences.append((sample.box.numpy() - true) / (true[2:] - true[:2]).max())
    assert 0.005 < np.std(differences) < 0.08


def test_masks_to_correct_are_neither_right_nor_far_off(samples: list[ClickSample]) -> None:
    overlaps = [
        float((s.truth & s.previous).sum() / (s.truth | s.previous).sum())
        for s in samples
        if s.previous.any()
    ]
    assert 0.2 < np.mean(overlaps) < 0.98
    assert len(set(overlaps)) == len(overlaps)


def test_it_learns(stills: Path, tmp_path: Path) -> None:
    """On a handful of pictures, and without the trunk."""
    options = ClicksOptions(iterations=25, batch_size=4, side=64, learning_rate=3e-3, crowded=0.0)
    torch.manual_seed(0)
    lite = load_checkpoint(shipped_weights("lite"))
    network = ClickNetwork.started_from(lite)
    before = {name: tensor.clone() for name, tensor in network.trunk.state_dict().items()}
    trainer = trainer_of(network, options, tmp_path)
    dataset = make_dataset(options, [WeightedDataset(1.0, still_sequences(stills))], network.config)
    rows: list[dict[str, float]] = []
    trainer.run(dataset, 0, Reports(rows.append, every=5))
    assert rows[-1]["iou0"] > rows[0]["iou0"] + 0.15
    assert rows[-1]["entropy"] < 0.7 * rows[0]["entropy"]
    assert all(torch.equal(before[name], tensor) for name, tensor in network.trunk.state_dict().items())


@pytest.mark.slow
def test_command(spvos_train: Command, stills: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run, one that goes on with it, and one from its weights."""
    monkeypatch.setattr("spvos_cli.benchmark.clicks.MOST_CLICKS", 5)
    monkeypatch.setattr("spvos_cli.inference.clicks.LONGEST_SIDE", 64)
    data = f"--dataset stills --data {stills}"
    code, out, err = spvos_train(f"--recipe clicks {data} {SHORT}")
    assert code == 0, err
    assert re.fullmatch(r"IoU from box and 3 clicks on held-out frames: \d+\.\d\d %\n", out)
    load_clicks(tmp_path / "spvos_run/best.safetensors")
    code, _, err = spvos_train(f"{data} --resume --iterations 2 --threads 1 --workers 0 --dtype fp32")
    assert code == 0, err
    start = tmp_path / "spvos_run/weights.safetensors"
    code, out, err = spvos_train(f"--recipe clicks --init {start} {data} {SHORT} --out again")
    assert code == 0, err
    assert " -> " in out


@pytest.mark.parametrize(
    ("option", "error"),
    {
        "--model lite": "--model lite: --recipe clicks",
        "--method triple": "--method triple: --recipe clicks",
        "--sparse D": "--sparse D: --recipe clicks",
        "--init a --init b": "--init: 2 files",
        "--learn gates": "a network without gates",
        "--turns 0": "greater than or equal to 1",
    }.items(),
)
def test_what_is_refused(spvos_train: Command, stills: Path, option: str, error: str) -> None:
    code, _, err = spvos_train(f"--recipe clicks --dataset stills --data {stills} {option}")
    assert code == 2
    assert error in err
