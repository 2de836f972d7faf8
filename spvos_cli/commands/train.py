"""spvos train"""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any

import typer

from spvos_cli.commands.options import COMPUTER, GATES, Messages
from spvos_cli.commands.parameters import AnyOf, Only, Typed, either, parameters_of, typer_command
from spvos_cli.errors import InputError
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.option import ALWAYS, Use, option
from spvos_cli.training.job import TrainingJob
from spvos_cli.training.options import RECIPE, RECIPES, field_names, recipe_options

ENGINE = Only(("model", *GATES, *COMPUTER))


@dataclasses.dataclass(frozen=True)
class Start:
    """Which run it is."""

    recipe: str | None = option(
        None,
        "How it is trained: lite for the small network from clips, long for the same in a longer run of"
        " several phases, paper as the paper does, stream for the gates of trained weights; clicks for the"
        " network that makes masks of boxes and clicks. By default lite.",
        panel=RECIPE,
        choices=tuple(RECIPES),
    )
    resume: bool = option(False, "The run in --out goes on where it stood.")


def _has(name: str) -> Use:
    """The recipe has the option; that of a run that goes on is in its checkpoint."""
    having = [recipe for recipe, kind in RECIPES.items() if name in field_names(kind)]
    return Use(
        lambda v: (v.resume and v.recipe is None) or (v.recipe or "lite") in having,
        f"--recipe {either(having)}",
    )


GATED = Use(lambda v: v.method != "dense", "a --method with gates")

# What depends on the network and the data besides is checked by `training.checks`.
USES: dict[str, tuple[Use, ...]] = {
    **{name: (_has(name),) for kind in RECIPES.values() for name in field_names(kind)},
    **{parameter.name: (ALWAYS,) for kind in (Start, TrainingJob) for parameter in parameters_of(kind)},
    "model": (ALWAYS,),
    "method": (ALWAYS,),
    "sparse": (GATED,),
    "gate_all": (GATED,),
    "strategy": (GATED,),
    "gate": (GATED,),
    "device": (ALWAYS,),
    "dtype": (ALWAYS,),
    "threads": (ALWAYS,),
    "quiet": (ALWAYS,),
    "json": (ALWAYS,),
}


def train(
    start: Start,
    job: TrainingJob,
    recipe: Annotated[dict[str, Any], AnyOf(RECIPES, "recipe")],
    engine: Annotated[EngineOptions, ENGINE],
    messages: Messages,
    typed: Typed,
) -> None:
    """Train weights, and score them on what was held out.

    [bold]spvos train --dataset davis --data DAVIS[/bold] trains the lite model.

    [bold]spvos train --init WEIGHTS --data FOLDER[/bold] goes on from weights, on annotated frames of your
    own.
    """
    if job.dataset is None and not job.data:
        expected = "--dataset NAME, or --data FOLDER with frames of your own"
        fix = "spvos train --dataset davis --data DAVIS"
        raise InputError("spvos train", found="nothing to train on", expected=expected, fix=fix)
    job = dataclasses.replace(
        job,
        model=engine.model if "model" in typed.names else None,
        overrides=engine.overrides(),
        device=engine.device,
        dtype=engine.dtype,
    )
    fine_tuning = bool(job.init) and job.dataset is None
    options = (
        None if start.resume else recipe_options(start.recipe or "lite", fine_tuning=fine_tuning, **recipe)
    )

    from spvos_cli.inference.machine import use_threads
    from spvos_cli.training import session
    from spvos_cli.ui import Reporter

    use_threads(engine.threads)

    reporter = Reporter(quiet=messages.quiet)
    if options is None:
        again = recipe | ({"recipe": start.recipe} if start.recipe else {})
        columns = session.resume(job, again, reporter)
    else:
        columns = session.train(job, options, reporter)
    reporter.note(f"weights in {job.out / 'weights.safetensors'}")
    if messages.json:
        typer.echo(json.dumps(columns))
    elif columns:
        typer.echo(score_line(columns))


def score_line(columns: dict[str, float]) -> str:
    """What the weights reach on what was held out, and what those reached that they started from."""
    name, column = ("J&F", "J&F-Mean") if "J&F-Mean" in columns else ("IoU from box and 3 clicks", "box+3")
    start = columns.get(column.removesuffix("-Mean") + "-Start")
    before = "" if start is None else f"{100 * start:.2f} % -> "
    return f"{name} on held-out frames: {before}{100 * columns[column]:.2f} %"


train_command = typer_command(train, USES)
