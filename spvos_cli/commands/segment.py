"""spvos segment"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from spvos_cli.commands.options import (
    OUTPUT,
    Device,
    DeviceOption,
    Dtype,
    DtypeOption,
    GateAllOption,
    JsonOption,
    MaxMemoryOption,
    MemEveryOption,
    MethodOption,
    Model,
    ModelOption,
    QuietOption,
    SizeOption,
    StrategyOption,
    StructureOption,
    ThreadsOption,
    TopKOption,
    WeightsOption,
    engine_options,
)
from spvos_cli.errors import InputError


def segment_command(
    context: typer.Context,
    input: Annotated[
        str | None,
        typer.Argument(
            help="A video file, a folder or glob of images, or - for standard input.", show_default=False
        ),
    ] = None,
    mask: Annotated[
        list[str] | None,
        typer.Option(
            "--mask",
            "-m",
            metavar="[FRAME:]MASK",
            help="An image with a colour or id for each object. Repeatable.",
        ),
    ] = None,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output",
            "-o",
            help="A folder (indexed PNGs) or .mp4 (overlay). Repeatable. Default: both, named after INPUT.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Render a clip, segment it, and score the result.")
    ] = False,
    model: ModelOption = Model.lite,
    weights: WeightsOption = None,
    method: MethodOption = None,
    sparse: StructureOption = None,
    gate_all: GateAllOption = None,
    strategy: StrategyOption = None,
    size: SizeOption = 480,
    mem_every: MemEveryOption = None,
    top_k: TopKOption = None,
    max_memory: MaxMemoryOption = None,
    device: DeviceOption = Device.auto,
    dtype: DtypeOption = Dtype.auto,
    threads: ThreadsOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs.", rich_help_panel=OUTPUT)
    ] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Follow the objects of a mask through a video.

    [bold]spvos segment input.mp4 --mask first.png[/bold] writes input_masks/ and input_overlay.mp4.
    """
    if demo == (input is not None):
        found = "both INPUT and --demo" if demo else "no INPUT"
        raise InputError(
            "spvos segment", found, "a video and a mask, or --demo", "spvos segment INPUT --mask MASK"
        )
    if not demo and not mask:
        raise InputError(input, "no mask given", "the mask of each object in one frame", "--mask MASK")

    from spvos_cli.inference.demo import run_demo
    from spvos_cli.inference.pipeline import segment_video
    from spvos_cli.ui import Reporter

    reporter = Reporter(quiet=quiet)
    options = dataclasses.asdict(engine_options(context.params)) | {
        "overwrite": overwrite,
        "reporter": reporter,
    }
    if demo:
        folder = output[0] if output else Path("spvos_demo")
        summary, score = run_demo(folder, **options)
        result = {**summary._asdict(), "score": score}
        reporter.note(f"J&F against the rendered truth: {score:.3f}")
    else:
        summary = segment_video(input, mask, output or (), **options)
        result = summary._asdict()
    pace = f"{summary.frames} frames in {summary.seconds:.1f} s, {summary.fps:.1f} fps"
    reporter.note(f"{pace}: {', '.join(summary.outputs)}")
    if as_json:
        typer.echo(json.dumps(result))
