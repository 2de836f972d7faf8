"""What is refused before data are read: options that would do nothing, and a resumed run that would be
another one."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spvos_cli.data.training_sets import parse_datasets
from spvos_cli.errors import InputError
from spvos_cli.model.checkpoint import network_class
from spvos_cli.model.config import ModelConfig
from spvos_cli.option import Use, given_fields, refuse_unused
from spvos_cli.training.base_options import SPARSITY, TrainOptions
from spvos_cli.training.job import TrainingJob
from spvos_cli.training.state import RunState

HIDDEN_FRAMES = 4  # of a clip: two memory frames, one that changes hidden states, and one that reads them

GATED = Use(lambda v: v.method != "dense", "a network with gates (--method static, residual or triple)")
TO_TARGET = Use(lambda v: not v.cost, "gates that are trained to a density (--objective target)")
TRUNK = Use(lambda v: v.keeps_trunk and v.learn == "all", "--model lite, all of which learns (--learn all)")
USES: dict[str, tuple[Use, ...]] = {
    "target": (TO_TARGET,),
    "anneal": (TO_TARGET,),
    "beta": (TO_TARGET,),
    "relaxing": (TO_TARGET,),
    "train_trunk": (TRUNK,),
    "trunk_rate": (TRUNK, Use(lambda v: v.train_trunk or v.recipe == "long", "--train-trunk")),
    "trunk_share": (TRUNK, Use(lambda v: not v.train_trunk, "a trunk that learns late (no --train-trunk)")),
    "eval_every": (Use(lambda v: v.held_out != (), "sequences to score (no --held-out none)"),),
    "pretrained": (
        Use(lambda v: not v.init, "no --init, whose weights would replace it"),
        Use(lambda v: v.resnets, "--model spvos or xmem"),
    ),
    "year": (Use(lambda v: v.davis, "--dataset davis"),),
    "teacher": (
        Use(
            lambda v: v.recipe == "stream" and v.learn == "gated",
            "a decoder that learns from one (--recipe stream --learn gated)",
        ),
    ),
}


def check_uses(job: TrainingJob, options: TrainOptions, config: ModelConfig) -> None:
    """That every option that differs from its default has an effect.

    Args:
        config: of the network that is trained.

    Raises:
        InputError: one has none.
    """
    values = dataclasses.asdict(job) | dataclasses.asdict(options)
    objective = values.get("objective", "target")
    host = network_class(config.architecture)
    values |= {"keeps_trunk": host.keeps_trunk, "resnets": bool(host.resnets)}
    values |= {"method": config.method, "recipe": options.recipe}
    values["cost"] = objective == "cost" or (objective == "method" and config.method == "residual")
    values["davis"] = job.dataset is not None and "davis" in dict(parse_datasets(job.dataset))
    given = given_fields(options) | given_fields(job)
    of_gates = {f.name for f in dataclasses.fields(options) if panel(f) == SPARSITY and f.name != "learn"}
    uses = {name: ((GATED,) if name in of_gates else ()) + USES.get(name, ()) for name in given}
    refuse_unused(uses, values, sorted(given))
    shortest = min((phase.frames for phase in options.phases() if phase.frames), default=None)
    if config.hidden_channels and shortest is not None and shortest < HIDDEN_FRAMES:
        found = f"the {config.architecture} network, whose hidden states two memory frames teach nothing"
        expected = f"--frames {HIDDEN_FRAMES} or more"
        raise InputError(f"--frames {shortest}", found=found, expected=expected, fix=expected)
    if job.init and job.model not in (None, config.architecture):
        raise InputError(
            f"--model {job.model}",
            found=f"--init with weights of {config.architecture}",
            expected=f"--model {config.architecture}",
            fix="leave --model out",
        )


def panel(field: dataclasses.Field[Any]) -> str | None:
    """Of --help, that a field is in."""
    declared = field.metadata.get("option")
    return declared.panel if declared else None


def run_source(job: TrainingJob, data_digest: str) -> dict[str, Any]:
    """What a run begins with, as its checkpoints hold it."""
    return {
        "dataset": job.dataset,
        "data": data_digest,
        "year": job.year,
        "init": [digest(path) for path in job.init],
        "teacher": digest(job.teacher) if job.teacher else None,
        "pretrained": job.pretrained,
    }


def digest(path: Path) -> str:
    """Of a file's content.

    Raises:
        InputError: there is no such file.
    """
    if not path.is_file():
        raise InputError(path, found="no such file", expected="a weight file", fix="--init FILE")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def resumed_options(state: RunState, given: Mapping[str, Any], out: Path) -> TrainOptions:
    """The options of a run that goes on: its own, with the number of iterations that was given.

    Args:
        given: options that were given again, and the recipe; None stands for not given.

    Raises:
        InputError: one differs from the run's, or the run is at that iteration already.
    """
    stored = dataclasses.asdict(state.options) | {"recipe": state.options.recipe}
    for name, value in given.items():
        if value is None or name == "iterations":
            continue
        if name not in stored or stored[name] != value:
            raise _differs(name, value, stored.get(name, "no such option"), out)
    iterations, done = given.get("iterations"), state.trainer["iteration"]
    if iterations is None:
        return state.options
    if iterations < done:
        raise InputError(
            f"--iterations {iterations}",
            found=f"the run in {out} has done {done}",
            expected=f"{done} or more",
            fix="--iterations N",
        )
    return dataclasses.replace(state.options, iterations=iterations)


def check_source(state: RunState, job: TrainingJob, data_digest: str) -> None:
    """That a run that goes on has the data, the network and the start that it had.

    Raises:
        InputError: it has others.
    """
    stored, config = state.source, dataclasses.asdict(state.config)
    for name, value in (("dataset", job.dataset), ("year", job.year), ("pretrained", job.pretrained)):
        if value != stored[name] and (value is not None or name == "dataset"):
            raise _differs(name, value, stored[name], job.out)
    if job.model not in (None, state.config.architecture):
        raise _differs("model", job.model, state.config.architecture, job.out)
    for name, chosen in job.overrides.items():
        if config[name] != chosen:
            raise _differs({"structure": "sparse"}.get(name, name), chosen, config[name], job.out)
    if job.init and [digest(path) for path in job.init] != stored["init"]:
        raise _differs("init", ", ".join(map(str, job.init)), "other weights", job.out)
    if job.teacher and digest(job.teacher) != stored["teacher"]:
        raise _differs("teacher", job.teacher, "other weights", job.out)
    if data_digest != stored["data"]:
        raise InputError(
            "--data",
            found="other sequences or frames than those the run began with",
            expected="the same, so that it goes on where it stood",
            fix=f"--data FOLDER, or --init {job.out / 'weights.safetensors'} and another --out",
        )


def _differs(name: str, value: object, stored: object, out: Path) -> InputError:
    flag = "--" + name.replace("_", "-")
    return InputError(
        f"{flag} {value}",
        found=f"the run in {out} has {stored}",
        expected="what it began with",
        fix=f"leave {flag} out, or begin a new run with another --out",
    )
