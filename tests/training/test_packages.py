"""Two ways of training gates are two packages, and the checkpoint knows no trainer."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import spvos_cli

ROOT = Path(spvos_cli.__file__).parent


def imported(file: Path) -> set[str]:
    """Modules that a file imports, wherever it does."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("training/clips", "spvos_cli.training.streams"),
        ("training/streams", "spvos_cli.training.clips"),
        ("training/state.py", "spvos_cli.training.trainer"),
        ("data", "spvos_cli.training"),
        ("data", "spvos_cli.model"),
        ("data", "spvos_cli.inference"),
    ],
)
def test_what_does_not_import_what(part: str, other: str) -> None:
    files = [ROOT / part] if part.endswith(".py") else sorted((ROOT / part).glob("*.py"))
    assert files
    for file in files:
        assert not {name for name in imported(file) if name == other or name.startswith(other + ".")}, file
