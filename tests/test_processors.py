"""How many threads there are unless --threads says."""

from __future__ import annotations

import os

import pytest

from spvos_cli.processors import default_threads


@pytest.mark.parametrize(("said", "count"), [("3", 3), ("1", 1)])
def test_what_the_environment_says(monkeypatch: pytest.MonkeyPatch, said: str, count: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert default_threads() == count


@pytest.mark.parametrize("said", ["", "0", "4,2", "many"])
def test_what_this_process_may_use(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert 1 <= default_threads() <= (os.cpu_count() or 1)
