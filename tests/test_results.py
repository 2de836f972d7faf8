"""results/*.csv: every row can be read, agrees with the others and with what the model card says."""

from __future__ import annotations

import csv
import datetime
import re
from pathlib import Path
from statistics import mean
from typing import get_args

import pytest

from spvos_cli.model.config import Method

ROOT = Path(__file__).parents[1]
WEIGHTS = {path.stem for path in (ROOT / "weights").glob("*.safetensors")}
COMMON = ("date", "commit", "machine", "weights", "method", "command", "note")
SCORES, SPEEDS = ROOT / "results/davis2016.csv", ROOT / "results/speed.csv"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, strict=True))


@pytest.mark.parametrize(
    ("path", "columns"),
    [(SCORES, ("sequences", "jf", "j", "f", "density")), (SPEEDS, ("threads", "what", "value", "unit"))],
)
def test_rows(path: Path, columns: tuple[str, ...]) -> None:
    rows = rows_of(path)
    assert len(rows) > 10
    for row in rows:
        assert set(row) == {*COMMON, *columns}
        datetime.date.fromisoformat(row["date"])
        assert re.fullmatch("[0-9a-f]{7,40}", row["commit"])
        assert row["weights"] in WEIGHTS | {"experiment"}
        assert row["method"] in get_args(Method)
        assert row["command"].startswith("spvos ")
        assert len({*row.values()} - {""}) > 5


def test_scores() -> None:
    for row in rows_of(SCORES):
        jf, *parts = (float(row[name]) for name in ("jf", "j", "f") if row[name])
        assert 0 < jf <= 100
        assert not parts or mean(parts) == pytest.approx(jf, abs=0.1)
        assert not row["density"] or (0 < float(row["density"]) < 1 and row["method"] != "dense")


def test_means_of_sequences() -> None:
    """A mistyped digit in one of the twenty, or of the five, would be seen."""
    rows = [row for row in rows_of(SCORES) if (row["weights"], row["commit"]) == ("lite", "b4f9d4a")]
    total, held_out, *single = rows
    names = held_out_names()
    val = [float(row["jf"]) for row in single if row["sequences"] not in names]
    five = [float(row["jf"]) for row in single if row["sequences"] in names]
    assert (len(val), len(five)) == (20, 5)
    assert mean(val) == pytest.approx(float(total["jf"]), abs=0.07)
    assert mean(five) == pytest.approx(float(held_out["jf"]), abs=0.07)


def held_out_names() -> set[str]:
    text = (ROOT / "results/README.md").read_text()
    return {name.strip() for name in re.search(r"held out \(([^)]*)\)", text)[1].split(",")}


def test_speeds() -> None:
    for row in rows_of(SPEEDS):
        assert float(row["value"]) > 0
        assert row["unit"] in ("frames/s", "ms/frame", "ratio", "G/frame")
        assert row["unit"] == "G/frame" or row["machine"]


def test_the_model_card_says_the_same() -> None:
    """The newest score on DAVIS-2016 val of each file that ships, as `spvos eval` runs it by default."""
    card = (ROOT / "weights/README.md").read_text()
    for name in WEIGHTS - {"clicks"}:  # which follows nothing
        said = re.search(rf"\| `{name}\.safetensors` \|[^|]*\| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|", card)
        gates = name.partition("-")[2] or "dense"
        method = "triple" if gates == "module" else gates
        scores = [
            (row["jf"], row["j"], row["f"])
            for row in rows_of(SCORES)
            if (row["weights"], row["method"], row["sequences"]) == (name, method, "davis-2016-val")
            and not row["note"]
        ]
        assert scores
        assert said.groups() == scores[-1]


def test_cards() -> None:
    """A dense row for every model, type and number of objects, beside those with gates."""
    rows = rows_of(ROOT / "results/cards.csv")
    kinds = {(row["card"], row["model"], row["size"], row["objects"], row["dtype"]) for row in rows}
    dense = {
        tuple(row[n] for n in ("card", "model", "size", "objects", "dtype"))
        for row in rows
        if row["gated"] == "dense"
    }
    assert kinds == dense
    assert all(0 < float(row["busy_ms"]) < float(row["eager_ms"]) for row in rows)
