"""tools/lowest.txt and pyproject.toml say the same lowest versions."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_lowest_versions() -> None:
    """Every dependency is bounded below, and pinned there for the run with the lowest versions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(line for extra in ("train", "annotate") for line in project["optional-dependencies"][extra]),
    ]
    bounds = dict(re.match(r"([\w-]+)[>=]=([\d.]+)", line).groups() for line in wanted)
    lines = (ROOT / "tools/lowest.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    exact = {name for name in bounds if f"{name}==" in " ".join(wanted)}
    assert set(pins) == set(bounds) - exact
    for name, pin in pins.items():
        assert pin == bounds[name] or pin.startswith(f"{bounds[name]}."), name
