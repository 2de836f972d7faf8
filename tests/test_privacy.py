"""No class reaches into another's private attributes, and the library leaves its host process alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1] / "spvos_cli"
LIBRARIES = {"torch"}  # functions that have no public name yet
NAMED_TUPLES = {"_asdict", "_fields", "_make", "_replace"}  # public in spite of their names


def private_attributes(source: str) -> Iterator[tuple[str, str, int]]:
    """Owner as written, attribute and line of each access to a private attribute."""
    for node in ast.walk(ast.parse(source)):
        private = isinstance(node, ast.Attribute) and node.attr.startswith("_")
        if private and not node.attr.startswith("__") and node.attr not in NAMED_TUPLES:
            yield ast.unparse(node.value), node.attr, node.lineno


def strangers(source: str) -> list[str]:
    """Accesses to what no class of the same file calls its own."""
    found = list(private_attributes(source))
    own = {name for owner, name, _ in found if owner in ("self", "cls")}
    return [
        f"{owner}.{name}, line {line}"
        for owner, name, line in found
        if name not in own and owner not in LIBRARIES
    ]


def test_the_check_sees_what_it_must() -> None:
    assert strangers("stream._logits = 1") == ["stream._logits, line 1"]
    assert not strangers("def f(self, other): self._x = other._x; row._replace(a=1)")


def test_private_attributes_stay_at_home() -> None:
    found = {path.name: hits for path in ROOT.rglob("*.py") if (hits := strangers(path.read_text()))}
    assert not found


def test_no_private_method_is_overridden() -> None:
    """A class that wants another's step done in its own way is given a place for it."""
    classes: dict[str, tuple[set[str], list[str], Path]] = {}
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
                private = {name for name in methods if name.startswith("_") and not name.startswith("__")}
                classes[node.name] = private, [ast.unparse(base) for base in node.bases], path
    wrong = []
    for name, (private, bases, path) in classes.items():
        for base in bases:
            if base in classes and classes[base][2] != path and private & classes[base][0]:
                wrong.append(f"{name} overrides {private & classes[base][0]} of {base}")
    assert not wrong


def test_commands_alone_set_up_the_process() -> None:
    """Threads and memory are the host's affair where spvos is a library."""
    callers = {
        path.relative_to(ROOT).parts[0]
        for path in ROOT.rglob("*.py")
        if "use_threads(" in path.read_text() and path.name != "machine.py"
    }
    assert callers == {"commands", "batch"}  # whose workers are processes of its own
