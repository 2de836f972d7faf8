"""spvos train"""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from spvos_cli.commands.train_parameters import (
    MACHINE,
    DataOption,
    Device,
    DeviceOption,
    Dtype,
    DtypeOption,
    GateAllOption,
    JsonOption,
    MethodOption,
    Model,
    ModelOption,
    QuietOption,
    StrategyOption,
    StructureOption,
    ThreadsOption,
    engine_options,
    plain_values,
)
from spvos_cli.errors import InputError

RECIPE, SPARSITY, RUN = "Recipe", "Sparsity", "Run"


class Recipe(str, Enum):
    lite = "lite"
    long = "long"
    paper = "paper"
    stream = "stream"


class Objective(str, Enum):
    method = "method"
    target = "target"
    cost = "cost"


class Learn(str, Enum):
    all = "all"
    gated = "gated"
    gates = "gates"


def _count(panel: str, text: str, least: int = 1) -> typer.models.OptionInfo:
    return typer.Option(min=least, help=text, rich_help_panel=panel)


def _number(panel: str, text: str) -> typer.models.OptionInfo:
    return typer.Option(min=0.0, help=text, rich_help_panel=panel)


def was_given(context: typer.Context, name: str) -> bool:
    """Whether an option does not have its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def train_command(
    context: typer.Context,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:WEIGHT],...",
            help="davis, youtube-vos, stills or a folder, several with weights: davis:3,stills:2.",
        ),
    ] = None,
    data: DataOption = None,
    out: Annotated[Path, typer.Option(help="Gets checkpoint.pt, weights and metrics.jsonl.")] = Path(
        "spvos_run"
    ),
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    init: Annotated[
        list[Path] | None, typer.Option(help="Weights to start from; several: from their mean.")
    ] = None,
    pretrained: Annotated[
        str | None,
        typer.Option(metavar="download|FOLDER", help="ImageNet weights for --model spvos, from torchvision."),
    ] = None,
    year: Annotated[
        int | None, typer.Option(min=2016, max=2017, help="DAVIS's list; 2016, the default: one object.")
    ] = None,
    model: ModelOption = Model.lite,
    method: MethodOption = None,
    sparse: StructureOption = None,
    gate_all: GateAllOption = None,
    strategy: StrategyOption = None,
    recipe: Annotated[
        Recipe | None,
        typer.Option(
            help="Ours, the paper's, or ours for the gates of trained weights.", rich_help_panel=RECIPE
        ),
    ] = None,
    iterations: Annotated[int | None, _count(RECIPE, "Optimiser steps; 0: --init as it is.", 0)] = None,
    batch_size: Annotated[int | None, _count(RECIPE, "Clips a step, over all processes.")] = None,
    accumulate: Annotated[int | None, _count(RECIPE, "Parts to split a step into.")] = None,
    learning_rate: Annotated[float | None, _number(RECIPE, "The peak.")] = None,
    average: Annotated[float | None, _number(RECIPE, "Decay of the weights' running average.")] = None,
    frames: Annotated[int | None, _count(RECIPE, "Frames a clip.", 2)] = None,
    side: Annotated[int | None, _count(RECIPE, "Pixels, a multiple of 16.", 64)] = None,
    max_gap: Annotated[int | None, _count(RECIPE, "Frames from one of a clip to the next.")] = None,
    train_trunk: Annotated[
        bool | None, typer.Option("--train-trunk", help="The lite model's trunk too.", rich_help_panel=RECIPE)
    ] = None,
    seed: Annotated[int | None, _count(RECIPE, "Of weights, clips and noise.", 0)] = None,
    gamma: Annotated[float | None, _number(SPARSITY, "Weight of the sparsity objective.")] = None,
    beta: Annotated[float | None, _number(SPARSITY, "In it, of the network's density.")] = None,
    objective: Annotated[
        Objective | None,
        typer.Option(
            help="Reach the target, or cost as little as can be; method: cost for residual, else target.",
            rich_help_panel=SPARSITY,
        ),
    ] = None,
    target: Annotated[float | None, _number(SPARSITY, "The density to reach.")] = None,
    anneal: Annotated[float | None, _number(SPARSITY, "Share of the run until the target holds.")] = None,
    relaxing: Annotated[float | None, _number(SPARSITY, "Share of the run until layers are free.")] = None,
    tau: Annotated[float | None, _number(SPARSITY, "Temperature of the Gumbel softmax.")] = None,
    noise: Annotated[float | None, _number(SPARSITY, "Strength of its noise; 0: none.")] = None,
    gate_rate: Annotated[float | None, _number(SPARSITY, "How many times faster gates learn.")] = None,
    sparse_gap: Annotated[
        int | None, _count(SPARSITY, "Frames from one of a clip to the next where it runs sparsely.")
    ] = None,
    sparse_motion: Annotated[
        float | None, _number(SPARSITY, "Made-up motion there, a share of the recipe's; 0: the video's own.")
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            help="Weights whose masks a decoder keeps that learns beside its gates; else those of --init.",
            rich_help_panel=SPARSITY,
        ),
    ] = None,
    learn: Annotated[
        Learn | None,
        typer.Option(help="What learns; gated: modules that have gates.", rich_help_panel=SPARSITY),
    ] = None,
    held_out: Annotated[
        str | None,
        typer.Option(help="Sequences to score, not to train on: names with commas.", rich_help_panel=RUN),
    ] = None,
    eval_every: Annotated[int | None, _count(RUN, "Iterations between scores; 0: at the end.", 0)] = None,
    save_every: Annotated[int, _count(RUN, "Iterations between checkpoints.")] = 500,
    checkpoint_activations: Annotated[
        bool | None,
        typer.Option("--checkpoint-activations", help="Less memory, more time.", rich_help_panel=RUN),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also log there.", rich_help_panel=RUN)
    ] = False,
    device: DeviceOption = Device.auto,
    dtype: DtypeOption = Dtype.auto,
    threads: ThreadsOption = None,
    workers: Annotated[int, _count(MACHINE, "Processes that make clips.", 0)] = 1,
    max_minutes: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Ends in this time, with averaged weights and their score: schedules pass as much faster.",
            rich_help_panel=RUN,
        ),
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train weights, and score them on what was held out.

    [bold]spvos train --dataset davis --data DAVIS[/bold] trains the lite model; [bold]spvos train --init
    WEIGHTS --data FOLDER[/bold] goes on from weights on annotated frames of your own.
    """
    if dataset is None and not data:
        expected = "--dataset NAME, or --data FOLDER with frames of your own"
        raise InputError(
            "spvos train",
            found="nothing to train on",
            expected=expected,
            fix="spvos train --dataset davis --data DAVIS",
        )

    from spvos_cli.training.job import TrainingJob
    from spvos_cli.training.options import RECIPES, recipe_options, split_names
    from spvos_cli.training.session import resume as resume_training
    from spvos_cli.training.session import train
    from spvos_cli.ui import Reporter

    given: dict[str, Any] = {}
    for kind in RECIPES.values():
        given |= {n: v for n, v in plain_values(context.params, kind).items() if v is not None}
    if held_out is not None:
        given["held_out"] = split_names(held_out)
    job = TrainingJob(
        dataset=dataset,
        data=tuple(data or []),
        out=out,
        init=tuple(init or []),
        pretrained=pretrained,
        year=year,
        teacher=teacher,
        save_every=save_every,
        max_minutes=max_minutes,
        tensorboard=tensorboard,
        workers=workers,
        model=model.value if was_given(context, "model") else None,
        overrides=engine_options(context.params).overrides(),
        device=device.value,
        dtype=dtype.value,
        threads=threads,
    )
    reporter = Reporter(quiet=quiet)
    if resume:
        columns = resume_training(job, given | ({"recipe": recipe.value} if recipe else {}), reporter)
    else:
        chosen = recipe.value if recipe else "lite"
        fine_tuning = bool(init) and dataset is None
        columns = train(job, recipe_options(chosen, fine_tuning=fine_tuning, **given), reporter)
    reporter.note(f"weights in {out / 'weights.safetensors'}")
    if as_json:
        typer.echo(json.dumps(columns))
    elif columns:
        start = f"{columns['J&F-Start']:.4f} -> " if "J&F-Start" in columns else ""
        typer.echo(f"J&F on held-out frames: {start}{columns['J&F-Mean']:.4f}")
