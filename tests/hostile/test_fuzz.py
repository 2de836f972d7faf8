"""Damaged files end with one line or are segmented as far as they go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def fuzz(*arguments: str) -> str:
    """In a process of its own: it stubs the network, and forks."""
    command = [sys.executable, "-m", "tests.hostile.fuzz", *arguments]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="limits address space as Linux does")
def test_a_few_damaged_files() -> None:
    assert "12 cases, seed 1" in fuzz("--cases", "12", "--seed", "1")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits address space as Linux does")
def test_many_damaged_files() -> None:
    assert "200 cases, seed 2" in fuzz("--cases", "200", "--seed", "2")
