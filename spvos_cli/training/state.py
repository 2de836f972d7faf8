"""checkpoint.pt: everything that a run needs to go on exactly where it stood."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from spvos_cli.errors import InputError
from spvos_cli.files import atomic_path
from spvos_cli.model.config import ModelConfig
from spvos_cli.training.options import TrainOptions

if TYPE_CHECKING:
    from spvos_cli.training.trainer import Trainer

NAME = "checkpoint.pt"


def write_state(trainer: Trainer) -> None:
    """Writes beside the target and renames: a run that is killed meanwhile leaves the state before it. Of
    several processes the first one writes, and all have to call it."""
    objective = objective_state(trainer)
    if not trainer.processes.first:
        return
    trainer.folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(trainer.folder / NAME) as part:
        torch.save(
            {
                "config": trainer.network.config.to_json(),
                "options": dataclasses.asdict(trainer.options),
                "iteration": trainer.iteration,
                "best": trainer.best,
                "network": trainer.network.state_dict(),
                "average": trainer.average.state_dict(),
                "optimizer": trainer.optimizer.state_dict(),
                "scaler": trainer.scaler.state_dict(),
                "objective": objective,
                "random": torch.get_rng_state(),
            },
            part,
        )


def objective_state(trainer: Trainer) -> list[dict[str, Any]]:
    """What the loss itself holds, in each process; its network is apart."""
    held = trainer.objective.state_dict()
    return trainer.processes.gather({name: x for name, x in held.items() if not name.startswith("network.")})


def read_state(folder: Path) -> dict[str, Any]:
    """The state in a run's folder; config and options as objects. Runs no code of the file.

    Raises:
        InputError: there is none, or it is unreadable.
    """
    path = folder / NAME
    if not path.is_file():
        raise InputError(
            folder, found=f"no {NAME}", expected="the folder of a run", fix="--out DIR, or no --resume"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        options = {n: tuple(v) if isinstance(v, list) else v for n, v in state["options"].items()}
        return state | {
            "config": ModelConfig.from_json(state["config"]),
            "options": TrainOptions(**options),
        }
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, ValueError) as error:
        found = f"unreadable ({str(error).splitlines()[0]})"
        raise InputError(
            path, found=found, expected="a checkpoint of this version", fix="--out DIR, or no --resume"
        ) from error


def restore(trainer: Trainer, state: dict[str, Any]) -> None:
    """Puts a trainer where the state stands."""
    trainer.network.load_state_dict(state["network"])
    trainer.average.load_state_dict(state["average"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.scaler.load_state_dict(state["scaler"])
    for held in state["objective"]:
        trainer.objective.load_state_dict(held, strict=False)
    trainer.iteration, trainer.best = state["iteration"], state["best"]
    torch.set_rng_state(state["random"])
