"""What is refused before data are read: numbers that do not divide or are out of range, options of other
recipes or without an effect, and a resumed run that would be another one."""

from __future__ import annotations

import dataclasses
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from spvos_cli.errors import InputError
from spvos_cli.model.checkpoint import save_weights
from spvos_cli.model.config import LITE, SPVOS
from spvos_cli.option import declaration
from spvos_cli.training.base_options import TrainOptions
from spvos_cli.training.checks import USES, check_uses
from spvos_cli.training.job import TrainingJob
from spvos_cli.training.options import (
    RECIPES,
    LiteOptions,
    LongOptions,
    PaperOptions,
    StreamOptions,
    recipe_options,
)
from spvos_cli.training.state import NAME, read_state
from tests.conftest import Command
from tests.training.conftest import SMALL, build_model

SHORT = "--iterations 2 --batch-size 2 --side 64 --workers 0 --held-out none"
GATED = dataclasses.replace(LITE, method="triple")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"batch_size": 4, "accumulate": 3}, "--batch-size 4"),
        ({"batch_size": 4, "accumulate": 5}, "--batch-size 4"),
        ({"side": 100}, "--side 100"),
        ({"side": 0}, "--side 0"),
        ({"batch_size": 0}, "--batch-size 0"),
        ({"iterations": -1}, "--iterations -1"),
        ({"learning_rate": math.nan}, "--learning-rate nan"),
        ({"average": 1.0}, "--average 1"),
        ({"start_share": 1.0}, "--start-share 1"),
        ({"average": 1.5}, "--average 1.5"),
        ({"target": 0.0}, "--target 0"),
        ({"target": 2.0}, "--target 2"),
        ({"frames": 1}, "--frames 1"),
        ({"tau": 0.0}, "--tau 0"),
        ({"objective": "none"}, "--objective none"),
        ({"learn": "some"}, "--learn some"),
    ],
)
def test_numbers_that_cannot_be(given: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError) as error:
        LiteOptions(**given)
    assert str(error.value).startswith(named)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("given", [{"final_side": 200}, {"final_batch_size": 3, "accumulate": 2}])
def test_numbers_of_a_later_phase(given: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        LongOptions(**given)


@pytest.mark.parametrize(
    ("processes", "parts", "fits"), [(3, 1, False), (2, 4, True), (4, 4, False), (8, 1, True)]
)
def test_clips_are_shared_evenly_by_processes(processes: int, parts: int, fits: bool) -> None:
    """8 clips on 3 processes would be 6, silently."""
    options = LiteOptions(batch_size=8, accumulate=parts)
    if fits:
        options.check_batches(processes)
        return
    with pytest.raises(InputError, match="--batch-size 8: it is split into"):
        options.check_batches(processes)


def test_processes_are_counted_before_data_are_read(
    spvos_train: Command, start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    code, _, err = spvos_train(f"--dataset davis --data nowhere --init {start} --batch-size 8")
    assert code == 2
    assert "--batch-size 8: it is split into 3 parts" in err.splitlines()[-1]


@pytest.mark.parametrize(
    "option", ["--batch-size 4 --accumulate 3", "--batch-size 4 --accumulate 5", "--side 100"]
)
def test_command_says_so_in_a_line(spvos_train: Command, start: Path, option: str) -> None:
    code, out, err = spvos_train(f"--dataset davis --data nowhere --init {start} {option}")
    assert (code, out, len(err.splitlines())) == (2, "", 1)


def of_other_recipes() -> list[tuple[str, str]]:
    names = {n: [f.name for f in dataclasses.fields(kind)] for n, kind in RECIPES.items()}
    every = {name for fields in names.values() for name in fields}
    return [(recipe, name) for recipe, own in names.items() for name in sorted(every - set(own))]


@pytest.mark.parametrize(("recipe", "name"), of_other_recipes())
def test_a_recipe_refuses_what_it_would_ignore(recipe: str, name: str) -> None:
    with pytest.raises(InputError, match=f"--{name.replace('_', '-')}: --recipe {recipe}"):
        recipe_options(recipe, **{name: 1})


OTHER: dict[str, Any] = {"learn": "gated", "objective": "target", "held_out": ("x",)}


def another(field: dataclasses.Field[Any]) -> Any:
    """A value that an option may have and that is not its default."""
    if field.name in OTHER:
        return OTHER[field.name]
    if isinstance(field.default, bool):
        return not field.default
    if isinstance(field.default, int):
        return 2 * field.default + 2 if field.default < 16 else 2 * field.default
    return 2 if field.default is None else field.default / 2 or 0.5


@pytest.mark.parametrize("kind", RECIPES.values(), ids=RECIPES)
def test_no_option_of_gates_is_taken_by_a_network_without(kind: type[TrainOptions]) -> None:
    """All that are declared under Sparsity, so that a new one cannot be forgotten."""
    names = [f for f in dataclasses.fields(kind) if (d := declaration(f)) and d.panel == "Sparsity"]
    assert names
    for field in names:
        if field.name == "learn":
            continue  # refused where it is applied
        options = kind(**{field.name: another(field)})
        with pytest.raises(InputError, match=f"--{field.name.replace('_', '-')}: it has no effect"):
            check_uses(TrainingJob(dataset="davis"), options, LITE)


@pytest.mark.parametrize(
    ("job", "options", "config", "named"),
    [
        ({}, LiteOptions(objective="cost", target=0.3), GATED, "--target"),
        ({}, LiteOptions(beta=2.0), dataclasses.replace(LITE, method="residual"), "--beta"),
        ({}, LiteOptions(trunk_rate=0.5), LITE, "--trunk-rate"),
        ({}, PaperOptions(train_trunk=True), SPVOS, "--train-trunk"),
        ({}, LongOptions(train_trunk=True, trunk_share=0.4), LITE, "--trunk-share"),
        ({}, LiteOptions(held_out=(), eval_every=5), LITE, "--eval-every"),
        ({"pretrained": "folder"}, LiteOptions(), LITE, "--pretrained"),
        ({"pretrained": "folder", "init": (Path("x"),)}, PaperOptions(), SPVOS, "--pretrained"),
        ({"teacher": Path("x")}, StreamOptions(), GATED, "--teacher"),
        ({"dataset": "stills", "year": 2017}, LiteOptions(), LITE, "--year"),
        ({"init": (Path("x"),), "model": "spvos"}, LiteOptions(), LITE, "--model"),
    ],
)
def test_options_without_an_effect(
    job: dict[str, Any], options: TrainOptions, config: Any, named: str
) -> None:
    with pytest.raises(InputError, match=named):
        check_uses(TrainingJob(**{"dataset": "davis", **job}), options, config)


def test_uses_name_options_that_there_are() -> None:
    fields = {f.name for kind in (*RECIPES.values(), TrainingJob) for f in dataclasses.fields(kind)}
    assert set(USES) <= fields


def test_every_option_has_a_sentence() -> None:
    for kind in (*RECIPES.values(), TrainingJob):
        for field in dataclasses.fields(kind):
            if declared := declaration(field):
                assert declared.help[0].isupper()
                assert declared.help.endswith(".")


@pytest.fixture
def run(spvos_train: Command, davis: Path, start: Path) -> str:
    """The arguments of a run in spvos_run, which is at its end."""
    arguments = f"--dataset davis --data {davis} --init {start} {SHORT}"
    code, _, err = spvos_train(arguments)
    assert code == 0, err
    return arguments


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ("--learning-rate 1", "--learning-rate 1.0: the run in spvos_run has 0.0005"),
        ("--recipe paper", "--recipe paper: the run in spvos_run has lite"),
        ("--method triple", "--method triple: the run in spvos_run has dense"),
        ("--iterations 1", "--iterations 1: the run in spvos_run has done 2"),
        ("--dataset stills --data {stills}", "--dataset stills: the run in spvos_run has davis"),
        ("--dataset davis:2", "--dataset davis:2: the run in spvos_run has davis"),
        ("--data {smaller}", "--data: other sequences or frames"),
        ("--year 2017", "--year 2017: the run in spvos_run has"),
        ("--init {other}", "--init"),
    ],
)
def test_a_resumed_run_refuses_what_differs(
    spvos_train: Command, run: str, stills: Path, davis: Path, tmp_path: Path, other: str, named: str
) -> None:
    save_weights(build_model(SMALL), tmp_path / "other.safetensors")
    shutil.copytree(davis, tmp_path / "smaller")
    (tmp_path / "smaller/ImageSets/2016/train.txt").write_text("one\n")
    given = other.format(stills=stills, smaller="smaller", other="other.safetensors")
    words = run.split()
    for flag in {word for word in given.split() if word.startswith("--")} & set(words):
        at = words.index(flag)
        del words[at : at + 2]
    code, out, err = spvos_train(f"{' '.join(words)} {given} --resume")
    assert (code, out) == (2, "")
    assert named in err.splitlines()[-1]


def test_a_resumed_run_is_lengthened_by_iterations(spvos_train: Command, run: str) -> None:
    code, _, err = spvos_train(f"{run.replace('--iterations 2', '--iterations 4')} --resume")
    assert code == 0, err
    state = read_state(Path("spvos_run"))
    assert (state.options.iterations, state.trainer["iteration"], state.trainer["clips"]) == (4, 4, 8)


def test_checkpoints_of_other_versions_are_refused(tmp_path: Path) -> None:
    torch.save({"config": "{}", "options": {}, "iteration": 3}, tmp_path / NAME)
    with pytest.raises(InputError, match="a checkpoint of version 1; expected version 2"):
        read_state(tmp_path)
