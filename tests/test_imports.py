"""Arrows between packages run one way, and nothing goes round in a circle.

The imports are read from the sources, those inside functions and those for type checkers included. What the
package's own `__init__` gives out lazily does not count: it is the door to everything.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1] / "spvos_cli"

# From the bottom up: a package imports what stands in lines above its own.
FLOORS = (
    {
        "errors",
        "files",
        "measured",
        "option",
        "policy_names",
        "process",
        "processors",
        "resources",
        "ui",
        "distributed",
        "model.cpu",
    },
    {"video", "sparse.kernels", "sparse"},
    {"data", "model"},
    {"evaluation", "inference"},
    {"profiling"},
    {"segment", "benchmark"},
    {"training", "profiling.runs", "annotate", "batch"},
    {"commands"},
    {"app"},
    {"__main__"},
)
ALLOWED_SIDEWAYS = {  # on one floor
    ("resources", "errors"),
    ("option", "errors"),
    ("measured", "files"),
    ("sparse", "sparse.kernels"),
    ("sparse.kernels", "sparse"),  # kernels compute what `sparse.conv_unit` and `sparse.policy` define
}
NETWORK = {"model", "sparse", "sparse.kernels", "inference"}
WITHOUT_NETWORK = {"video", "data", "evaluation"}


class Import(NamedTuple):
    """Attributes: module and target are dotted names; place is "top", "function" or "types"."""

    module: str
    target: str
    place: str


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    return {module_name(path): path for path in ROOT.rglob("*.py")}


def statements(node: ast.AST, place: str) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for statement in child.body:
                yield from statements(ast.Module([statement], []), "types")
        elif isinstance(child, ast.Import | ast.ImportFrom):
            yield child, place
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and place == "top"
            yield from statements(child, "function" if inside else place)


@cache
def imports() -> list[Import]:
    found = []
    for module, path in modules().items():
        for statement, place in statements(ast.parse(path.read_text()), "top"):
            if isinstance(statement, ast.Import):
                targets = [alias.name for alias in statement.names]
            else:
                assert statement.level == 0, f"{module}: relative import"
                inside = [f"{statement.module}.{alias.name}" for alias in statement.names]
                targets = [name if name in modules() else str(statement.module) for name in inside]
            found += [Import(module, target, place) for target in targets]
    return found


def package(module: str) -> str:
    """The room of a module: the part after `spvos_cli`, or two where the floor plan has them."""
    parts = module.split(".")[1:]
    rooms = {room for floor in FLOORS for room in floor}
    return next((name for n in (2, 1) if (name := ".".join(parts[:n])) in rooms), ".".join(parts[:1]))


def own_arrows() -> list[Import]:
    """Between modules of the package, without its door."""
    return [
        each
        for each in imports()
        if each.target in modules() and "spvos_cli" not in (each.module, each.target)
    ]


def test_every_package_has_a_floor() -> None:
    """A new one cannot be forgotten, an old one not be left."""
    found = {package(name) for name in modules() if name != "spvos_cli"}
    assert found == {room for floor in FLOORS for room in floor}


def test_arrows_run_one_way() -> None:
    floor = {room: n for n, rooms in enumerate(FLOORS) for room in rooms}
    wrong = []
    for each in own_arrows():
        start, end = package(each.module), package(each.target)
        if start != end and floor[end] >= floor[start] and (start, end) not in ALLOWED_SIDEWAYS:
            wrong.append(each)
    assert not wrong


def test_no_circle_between_modules() -> None:
    """Not even for type checkers."""
    graph: dict[str, set[str]] = {}
    for each in own_arrows():
        graph.setdefault(each.module, set()).add(each.target)
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_circle_between_packages() -> None:
    """Kernels are a part of `sparse`: those below it in the file tree, beside it in the arrows."""
    graph: dict[str, set[str]] = {}
    for each in own_arrows():
        start, end = (package(name).replace("sparse.kernels", "sparse") for name in each[:2])
        if start != end:
            graph.setdefault(start, set()).add(end)
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_files_data_and_scores_know_no_network() -> None:
    wrong = [
        each
        for each in own_arrows()
        if package(each.module) in WITHOUT_NETWORK and package(each.target) in NETWORK
    ]
    assert not wrong


def test_hosts_are_known_by_their_names_in_one_list() -> None:
    """Whoever makes, loads, follows or trains a network asks it what it bears."""
    hosts = tuple(f"spvos_cli.model.{name}" for name in ("lite", "xmem", "stcn"))
    wrong = [
        each for each in own_arrows() if package(each.module) != "model" and each.target.startswith(hosts)
    ]
    assert not wrong


def test_pyav_is_imported_where_video_is_read_or_written() -> None:
    found = {each.module for each in imports() if each.target.split(".")[0] == "av" and each.place == "top"}
    assert {package(module) for module in found - {"spvos_cli.segment.demo"}} == {"video"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("spvos_cli.app", {"torch", "av", "cv2"}),
        ("spvos_cli.evaluation.run", {"torch", "av"}),
        ("spvos_cli.video.frames", {"torch", "av"}),
        ("spvos_cli.batch.api", {"torch", "ray"}),
        ("spvos_cli.inference.segmenter", {"av", "matplotlib"}),
        ("spvos_cli.profiling.figures", {"av", "matplotlib"}),
    ],
)
def test_what_an_import_does_not_load(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted({absent!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout.split()
