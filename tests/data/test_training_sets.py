"""What is held out, and what tells a run's data from others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from spvos_cli.data.training_sets import DAVIS_HELD_OUT, parse_datasets, training_data
from spvos_cli.errors import InputError
from tests.training.conftest import davis as davis
from tests.training.conftest import stills as stills


@pytest.fixture
def named(davis: Path, tmp_path: Path) -> Path:
    """DAVIS with a sequence that is held out by default."""
    root = tmp_path / "named"
    shutil.copytree(davis, root)
    for kind in ("JPEGImages", "Annotations"):
        (root / kind / "480p/two").rename(root / kind / "480p" / DAVIS_HELD_OUT[0])
    (root / "ImageSets/2016/train.txt").write_text(f"one\n{DAVIS_HELD_OUT[0]}\n")
    return root


def test_davis_names_are_held_out_of_davis_alone(named: Path, tmp_path: Path) -> None:
    data = training_data("davis", [named], None)
    assert [sequence.name for sequence in data.held_out] == [DAVIS_HELD_OUT[0]]
    assert data.merge_objects
    own = tmp_path / "own"
    shutil.copytree(named / "JPEGImages/480p", own / "JPEGImages")
    shutil.copytree(named / "Annotations/480p", own / "Annotations")
    data = training_data(None, [own], None)
    assert sum(len(dataset.sequences) for dataset in data.datasets) == 2  # the last frames of each are kept
    assert not data.merge_objects
    assert not training_data(str(own), [], None).held_out


def test_named_ones_are_held_out_or_refused(davis: Path, stills: Path) -> None:
    assert [s.name for s in training_data("davis", [davis], ("two",)).held_out] == ["two"]
    assert not training_data("davis", [davis], ()).held_out
    with pytest.raises(InputError, match="--held-out three: no sequence of that name"):
        training_data("davis", [davis], ("two", "three"))
    with pytest.raises(InputError, match="expected some that are left to learn from"):
        training_data("davis", [davis], ("one", "two"))


def test_digest_is_of_what_is_learned_wherever_it_lies(davis: Path, tmp_path: Path) -> None:
    shutil.copytree(davis, tmp_path / "copy")
    first, moved = (training_data("davis", [root], ("two",)).digest() for root in (davis, tmp_path / "copy"))
    assert first == moved
    others = [training_data("davis:2", [davis], ("two",)), training_data("davis", [davis], ("one",))]
    assert len({first, *(data.digest() for data in others)}) == 3


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf", "x"])
def test_weights_are_positive_numbers(weight: str) -> None:
    with pytest.raises(InputError, match="expected a positive number"):
        parse_datasets(f"davis:{weight}")
