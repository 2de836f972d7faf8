"""spvos segment"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

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
    ReuseOption,
    SizeOption,
    StrategyOption,
    StructureOption,
    ThreadsOption,
    TopKOption,
    WeightsOption,
    engine_options,
    plain_values,
)
from spvos_cli.errors import InputError

FRAMES = "Frames"


class Format(str, Enum):
    mkv = "mkv"
    jsonl = "jsonl"


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
            help="An image with a colour or id for each object, or a folder of them. Repeatable.",
        ),
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(
            "--box",
            metavar="[FRAME:]X,Y,W,H",
            help="Instead of a mask: a box around an object, in pixels. Repeatable.",
        ),
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            help="By suffix, repeatable: a folder (indexed PNGs), .mp4 (overlay), .mkv (labels), .mov"
            " or .webm (cut-out), .json (COCO), .jsonl (records), .png (contact sheet), - (label video);"
            " folders .objects, .rgba, .soft. Default: a folder and an overlay, named after INPUT.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Render a clip, segment it, and score the result.")
    ] = False,
    start: Annotated[
        str | None,
        typer.Option("--start", help="First frame: a number, or seconds as 12.5s.", rich_help_panel=FRAMES),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--end", help="Frame before which to end.", rich_help_panel=FRAMES)
    ] = None,
    stride: Annotated[
        int, typer.Option("--stride", min=1, help="Every n-th frame.", rich_help_panel=FRAMES)
    ] = 1,
    backward: Annotated[
        bool,
        typer.Option("--backward", help="From the masks to the start as well.", rich_help_panel=FRAMES),
    ] = False,
    live: Annotated[
        bool,
        typer.Option("--live", help="Drop frames that come too fast.", rich_help_panel=FRAMES),
    ] = False,
    allow_network: Annotated[
        bool,
        typer.Option("--allow-network", help="INPUT may be an address.", rich_help_panel=FRAMES),
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
    reuse: ReuseOption = True,
    device: DeviceOption = Device.auto,
    dtype: DtypeOption = Dtype.auto,
    threads: ThreadsOption = None,
    format: Annotated[
        Format,
        typer.Option("--format", help="What - as an output is.", rich_help_panel=OUTPUT),
    ] = Format.mkv,
    preview: Annotated[
        int,
        typer.Option(
            "--preview",
            min=0,
            metavar="N",
            help="Write the overlay of every N-th frame to NAME_preview/.",
            rich_help_panel=OUTPUT,
        ),
    ] = 0,
    overlay_alpha: Annotated[
        float,
        typer.Option(
            "--overlay-alpha", min=0, max=1, help="How much a colour covers.", rich_help_panel=OUTPUT
        ),
    ] = 0.5,
    contour: Annotated[
        int,
        typer.Option("--contour", min=0, max=100, help="Width of outlines.", rich_help_panel=OUTPUT),
    ] = 1,
    colours: Annotated[
        str | None,
        typer.Option("--colours", help="Of the objects: red,#00ff00 or 3=blue.", rich_help_panel=OUTPUT),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run.", rich_help_panel=OUTPUT)
    ] = False,
    save_every: Annotated[
        float,
        typer.Option(
            "--save-every",
            min=0,
            help="Seconds between saved states for --resume.",
            rich_help_panel=OUTPUT,
        ),
    ] = 10.0,
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
            "spvos segment",
            found=found,
            expected="a video and a mask, or --demo",
            fix="spvos segment INPUT --mask MASK",
        )
    if not demo and not mask and not box:
        raise InputError(
            input,
            found="no mask given",
            expected="the mask of each object in one frame",
            fix="--mask MASK, or --box",
        )
    if as_json and "-" in (output or []):
        raise InputError(
            "--json", found="standard output is an output already", expected="one of the two", fix="-o FILE"
        )

    from spvos_cli.segment.demo import run_demo
    from spvos_cli.segment.pipeline import segment_video
    from spvos_cli.ui import Reporter

    reporter = Reporter(quiet=quiet)
    options = {**_options(context.params), "reporter": reporter}
    if demo:
        folder = Path(output[0] if output else "spvos_demo")
        summary, score = run_demo(folder, **options)
        result = {**summary._asdict(), "score": score}
        reporter.note(f"J&F against the rendered truth: {score:.3f}")
    else:
        summary = segment_video(input, mask or (), output or (), **options)
        result = summary._asdict()
    pace = f"{summary.frames} frames in {summary.seconds:.1f} s, {summary.fps:.1f} fps"
    reporter.note(f"{pace}: {', '.join(summary.outputs)}")
    if as_json:
        typer.echo(json.dumps(result))


def _options(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `segment_video`, which have the names of the command's."""
    from spvos_cli.segment.options import SegmentOptions

    own = plain_values(parameters, SegmentOptions)
    return dataclasses.asdict(engine_options(parameters)) | own
