"""The table of mistakes that a maintainer's tool runs: it has to keep up with the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.cuda_mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_applies(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text()
    assert mutant.changed(text) != text


@pytest.mark.parametrize("name", sorted({name for mutant in MUTANTS for name in mutant.tests}))
def test_runs_tests_that_are_there(name: str) -> None:
    assert (Path(__file__).parent / f"test_cuda_{name}.py").is_file()
