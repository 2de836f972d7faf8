"""How far what was found holds after masks have changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from spvos_cli.annotate.chain import Chain

SHAPE = {"size": 480}


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    """Frames 0 to 29, annotated are 0, 10 and 20."""
    chain = Chain(tmp_path / "found", SHAPE)
    for frame in range(30):
        chain.add(frame, {0: "a", 10: "b", 20: "c"}.get(frame))
    chain.save()
    return chain


@pytest.mark.parametrize(
    ("digests", "valid", "stale"),
    [
        ({0: "a", 10: "b", 20: "c"}, 30, []),
        ({0: "a", 10: "x", 20: "c"}, 10, [(10, 20)]),
        ({0: "a", 20: "c"}, 10, [(10, 20)]),
        ({0: "a", 5: "x", 10: "b", 20: "c"}, 5, [(5, 10)]),
        ({0: "a", 5: "x", 10: "y", 20: "c"}, 5, [(5, 20)]),
        ({0: "a", 10: "b", 20: "c", 35: "x"}, 30, [(30, 40)]),
        ({10: "b", 20: "c"}, 0, [(0, 10)]),
        ({}, 0, [(0, 40)]),
    ],
)
def test_what_a_change_leaves(
    chain: Chain, digests: dict[int, str], valid: int, stale: list[tuple[int, int]]
) -> None:
    """Frames from a mask that changed to the next one are stale, all later ones older than the change."""
    assert chain.valid(digests) == valid
    found = chain.stale(digests, 40)
    assert [(a, min(b, 30)) for a, b in found if a < 30] == [(a, min(b, 30)) for a, b in stale if a < 30]


def test_what_is_found_anew_in_parts(chain: Chain, tmp_path: Path) -> None:
    """It stays so in the next session, too, and one with other options knows nothing."""
    digests = {0: "a", 10: "x", 20: "c"}
    chain.begin(10, digests)
    for frame in range(10, 15):
        chain.add(frame, digests.get(frame))
    chain.save()
    for again in (chain, Chain(tmp_path / "found", SHAPE)):
        assert again.valid(digests) == 15
        assert again.stale(digests, 30) == [(15, 20)]
    for frame in range(15, 20):
        chain.add(frame, digests.get(frame))
    assert chain.stale(digests, 30) == []
    assert chain.valid(digests) == 20
    (tmp_path / "found/00000007.state").touch()
    other = Chain(tmp_path / "found", {"size": 100})
    assert (other.end, other.states()) == (0, [])


def test_a_stop_in_the_middle_of_a_rewrite_counts_nothing_of_the_old(chain: Chain, tmp_path: Path) -> None:
    chain.begin(10, {0: "a", 10: "x", 20: "c"})
    assert Chain(tmp_path / "found", SHAPE).end == 10


def test_damaged_files_are_as_none(tmp_path: Path) -> None:
    (tmp_path / "found").mkdir()
    (tmp_path / "found/chain.json").write_text("{")
    (tmp_path / "found/00000003.state").write_text("nonsense")
    chain = Chain(tmp_path / "found", SHAPE)
    assert chain.end == 0
    assert list(chain.states_back(0, 9)) == []
