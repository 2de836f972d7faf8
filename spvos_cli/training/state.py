"""checkpoint.pt: everything that a run needs to go on exactly where it stood."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import torch

from spvos_cli.errors import InputError
from spvos_cli.files import atomic_path
from spvos_cli.model.config import ModelConfig
from spvos_cli.training.base_options import TrainOptions
from spvos_cli.training.options import RECIPES

NAME = "checkpoint.pt"
VERSION = 2  # of what a checkpoint holds; the first had no number


class RunState(NamedTuple):
    """What a checkpoint holds.

    Attributes:
        config: of the network.
        options: the recipe.
        source: what the run began with: its data and weights, see `checks.run_source`.
        trainer: see `Trainer.state`.
    """

    config: ModelConfig
    options: TrainOptions
    source: dict[str, Any]
    trainer: dict[str, Any]


def write_state(folder: Path, state: RunState) -> None:
    """Writes beside the target and renames: a run that is killed meanwhile leaves the state before it."""
    folder.mkdir(parents=True, exist_ok=True)
    table = {
        "version": VERSION,
        "config": state.config.to_json(),
        "recipe": state.options.recipe,
        "options": dataclasses.asdict(state.options),
        "source": state.source,
        "trainer": state.trainer,
    }
    with atomic_path(folder / NAME) as part:
        torch.save(table, part)


def read_state(folder: Path) -> RunState:
    """The state in a run's folder. Runs no code of the file.

    Raises:
        InputError: there is none, it is unreadable, or another version wrote it.
    """
    path = folder / NAME
    if not path.is_file():
        raise InputError(
            folder, found=f"no {NAME}", expected="the folder of a run", fix="--out DIR, or no --resume"
        )
    try:
        table = torch.load(path, map_location="cpu", weights_only=True)
        if (version := table.get("version", 1)) != VERSION:
            raise InputError(
                path,
                found=f"a checkpoint of version {version}",
                expected=f"version {VERSION}, which this spvos reads",
                fix=f"--init {folder / 'weights.safetensors'} and another --out",
            )
        options: dict[str, Any] = table["options"]
        return RunState(
            ModelConfig.from_json(table["config"]),
            RECIPES[table["recipe"]](**options),
            table["source"],
            table["trainer"],
        )
    except (pickle.UnpicklingError, RuntimeError, EOFError, *_NOT_OURS) as error:
        found = f"unreadable ({(str(error) or type(error).__name__).splitlines()[0]})"
        raise InputError(
            path, found=found, expected="a checkpoint of this version", fix="--out DIR, or no --resume"
        ) from error


_NOT_OURS = (AttributeError, KeyError, TypeError, ValueError)
