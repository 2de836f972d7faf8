"""How many clicks good masks take."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spvos_cli.benchmark.clicks import (
    MOST_CLICKS,
    ClickedObject,
    click_columns,
    click_on,
    click_sequences,
    print_columns,
)
from spvos_cli.model.checkpoint import save_weights
from spvos_cli.model.clicks import ClickNetwork
from spvos_cli.video.suggest import Prompts
from tests.conftest import Command, make_frame, write_mask


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stills of two objects."""
    from PIL import Image

    root = tmp_path_factory.mktemp("stills")
    for name in ("images", "masks"):
        (root / name).mkdir()
    for t in range(2):
        image, ids = make_frame(t)
        Image.fromarray(image).save(root / f"images/{t}.png")
        write_mask(root / f"masks/{t}.png", ids)
    return root


def learns_with_clicks(frame: np.ndarray, prompts: Prompts, previous: np.ndarray) -> np.ndarray:
    """A `Suggest` that knows the object by its colour, from some columns on: from four clicks on the whole of
    it, and at once from a box."""
    x, y = prompts.clicks[0][:2] if prompts.clicks else (prompts.box.x + 15, prompts.box.y + 15)
    mask = (frame == frame[y, x]).all(axis=2)
    columns = np.flatnonzero(mask.any(axis=0))
    share = 1.0 if prompts.box or len(prompts.clicks) > 3 else 0.5
    mask[:, columns[round(share * len(columns)) :]] = False
    return mask


def test_columns(stills: Path) -> None:
    sequences = click_sequences("stills", stills, 2016, None, None)
    objects = list(click_on(sequences, learns_with_clicks))
    assert [each.name for each in objects] == ["0 1", "0 2", "1 1", "1 2"]
    columns = click_columns(objects)
    assert (columns["objects"], columns["NoC@85"], columns["NoC@90"], columns["never@90"]) == (4, 4, 4, 0)
    assert columns["mIoU@1"] == pytest.approx(0.5, abs=0.05)
    assert [columns[name] for name in ("mIoU@5", "box", "box+3")] == [1, 1, 1]
    merged = list(click_on(sequences[:1], learns_with_clicks, merge_objects=True))
    assert [each.name for each in merged] == ["0 1"]


def test_what_is_never_reached_counts_as_the_most() -> None:
    bad, good = ClickedObject("a", [0.5] * MOST_CLICKS, [0.4] * 6), ClickedObject("b", [0.86] * 5, [0.8] * 6)
    columns = click_columns([bad, good])
    assert (columns["NoC@85"], columns["never@85"], columns["NoC@90"]) == (10.5, 0.5, 20)
    assert columns["mIoU@3"] == pytest.approx(0.68)


def test_only_some(stills: Path) -> None:
    assert [s.name for s in click_sequences("stills", stills, 2016, None, "1")] == ["1"]


def test_command(
    spvos: Command,
    stills: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_weights(ClickNetwork(), tmp_path / "w.safetensors")
    monkeypatch.setattr("spvos_cli.benchmark.clicks.MOST_CLICKS", 5)
    monkeypatch.setattr("spvos_cli.inference.clicks.LONGEST_SIDE", 64)
    again = f"eval --clicks --dataset stills --data {stills} --only 0 --weights w.safetensors --threads 1"
    code, out, _ = spvos(f"{again} --json")
    assert code == 0
    columns = json.loads(out)
    assert columns["objects"] == 2
    print_columns(columns | {"NoC@85": 4.5, "box": 0.875})
    names, values = capsys.readouterr().out.splitlines()
    assert dict(zip(names.split(), values.split(), strict=True)).items() >= {
        ("objects", "2"),
        ("NoC@85", "4.50"),
        ("box", "87.5"),
    }


@pytest.mark.parametrize(
    ("command", "error"),
    {
        "--clicks --dataset stills --size 100": "--size: it has no effect here",
        "--clicks --pred a --truth b": "--clicks: it has no effect here",
        "--dataset stills": "--dataset: it has no effect here",
        "--clicks --dataset youtube-vos": "--clicks: it has no effect here",
        "--clicks --dataset stills --data gone": "no such folder",
    }.items(),
)
def test_what_is_refused(spvos: Command, command: str, error: str) -> None:
    code, _, said = spvos(f"eval {command}")
    assert code == 2
    assert error in said.replace("\n", " ")
