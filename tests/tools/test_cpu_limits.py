"""Renewing the table of limits that ships for CPUs."""

from __future__ import annotations

import json

import pytest

from spvos_cli.profiling import break_even
from spvos_cli.profiling.break_even import GatedShape
from spvos_cli.sparse.kernels.cpu import LIMITS
from tools import cpu_limits


def test_other_types_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(break_even, "REPEATS", 1)
    shipped = json.loads(LIMITS.read_text())
    renewed = cpu_limits.renewed_limits(["float32"], [GatedShape(8, 8, 3, 1, (12, 16))])
    assert set(renewed) == set(shipped)
    assert renewed["bfloat16"] == shipped["bfloat16"]
    (limit,) = renewed["float32"].values()
    assert 0 <= limit <= 1


def test_unknown_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["cpu_limits", "float31"])
    with pytest.raises(SystemExit, match="unknown types float31"):
        cpu_limits.main()
