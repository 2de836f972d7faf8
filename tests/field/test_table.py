"""The table in README.md, of what people bring and the tests of it, names tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TABLE = Path(__file__).with_name("README.md").read_text()
TOPICS = 30
TEST = re.compile(r"`(\w+/test_\w+\.py)::(test_\w+)`")


def names_in(file: Path) -> set[str]:
    return {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_every_topic_has_a_row_with_tests() -> None:
    rows = re.findall(r"^\| (\d+) \| .+ \| (.+) \|$", TABLE, re.MULTILINE)
    assert [int(number) for number, _ in rows] == [*range(1, TOPICS + 1)]
    for number, tests in rows:
        assert ", ".join(f"`{file}::{name}`" for file, name in TEST.findall(tests)) == tests, number


def test_every_test_is_there() -> None:
    root = Path(__file__).parents[1]
    missing = [f"{file}::{name}" for file, name in TEST.findall(TABLE) if name not in names_in(root / file)]
    assert missing == []
