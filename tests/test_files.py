"""Writing beside and renaming."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spvos_cli.files import atomic_path


def test_atomic_path_leaves_the_new_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_path(path) as part:
        assert part.parent == tmp_path
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with atomic_path(path) as part:
            part.write_text("ne")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_processes_that_write_one_file_do_not_meet(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.json", shared=True) as part:
        part.write_text("{}")
        assert str(os.getpid()) in part.name


def test_only_one_place_renames() -> None:
    """Who writes a file that must be whole does it by `atomic_path`."""
    package = Path(__file__).parents[1] / "spvos_cli"
    renaming = [f.name for f in package.rglob("*.py") if "os.replace(" in f.read_text()]
    assert renaming == ["files.py"]
