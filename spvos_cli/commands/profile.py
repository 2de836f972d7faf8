"""spvos profile"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from spvos_cli.commands.options import (
    Device,
    DeviceOption,
    Dtype,
    DtypeOption,
    GateAllOption,
    JsonOption,
    MemEveryOption,
    MethodOption,
    Model,
    ModelOption,
    QuietOption,
    StrategyOption,
    StructureOption,
    ThreadsOption,
    TopKOption,
    WeightsOption,
    engine_options,
)

WHAT, WORKLOAD = "What", "Workload"


def profile_command(
    context: typer.Context,
    params: Annotated[bool, typer.Option("--params", help="Parameters.", rich_help_panel=WHAT)] = False,
    flops: Annotated[
        bool,
        typer.Option("--flops", help="Multiply-accumulates of a frame, by module.", rich_help_panel=WHAT),
    ] = False,
    layers: Annotated[
        bool,
        typer.Option(
            "--layers", help="The same, and with --speed the time, by convolution.", rich_help_panel=WHAT
        ),
    ] = False,
    speed: Annotated[
        bool, typer.Option("--speed", help="Time of a frame on this machine.", rich_help_panel=WHAT)
    ] = False,
    paper: Annotated[
        bool, typer.Option("--paper", help="The paper's tables beside ours.", rich_help_panel=WHAT)
    ] = False,
    patterns: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw what trained gates decide, and where (.png).", rich_help_panel=WHAT
        ),
    ] = None,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Measure on this GPU when sparse kernels pay; later runs use it.",
            rich_help_panel=WHAT,
        ),
    ] = False,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="With --speed: two of dense, static, residual, triple, eager, in turn.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    frame: Annotated[
        str, typer.Option(metavar="WxH", help="Frame size.", rich_help_panel=WORKLOAD)
    ] = "854x480",
    objects: Annotated[int, typer.Option(min=1, help="Objects.", rich_help_panel=WORKLOAD)] = 1,
    video_list: Annotated[
        Path | None,
        typer.Option(
            help="CSV of frames, objects, width, height: averages over videos.", rich_help_panel=WORKLOAD
        ),
    ] = None,
    density: Annotated[
        str | None,
        typer.Option(
            metavar="D=..,Q=..", help="Share of pixels that gates compute.", rich_help_panel=WORKLOAD
        ),
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option(
            help="What trained gates decide about; default: the demo clip.", rich_help_panel=WORKLOAD
        ),
    ] = None,
    mask: Annotated[Path | None, typer.Option(help="Of its first frame.", rich_help_panel=WORKLOAD)] = None,
    cycles: Annotated[
        int, typer.Option(min=1, help="With --speed: memory cycles timed.", rich_help_panel=WORKLOAD)
    ] = 5,
    model: ModelOption = Model.lite,
    weights: WeightsOption = None,
    method: MethodOption = None,
    sparse: StructureOption = None,
    gate_all: GateAllOption = None,
    strategy: StrategyOption = None,
    mem_every: MemEveryOption = None,
    top_k: TopKOption = None,
    device: DeviceOption = Device.auto,
    dtype: DtypeOption = Dtype.auto,
    threads: ThreadsOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Count what a network costs, and time it on this machine.

    [bold]spvos profile --flops[/bold] counts one frame; [bold]--speed --compare dense,triple[/bold] times
    two.
    """
    from spvos_cli.profiling.arguments import parse_comparison, parse_density, parse_frame
    from spvos_cli.profiling.figures import profile
    from spvos_cli.profiling.show import show

    result = profile(
        engine_options(context.params),
        params=params or not (flops or layers or speed or paper or patterns or tune),
        flops=flops or not (params or layers or speed or paper or patterns or tune),
        layers=layers,
        speed=speed,
        paper=paper,
        compare=parse_comparison(compare),
        frame=parse_frame(frame),
        objects=objects,
        video_list=video_list,
        density=parse_density(density),
        video=video,
        mask=mask,
        cycles=cycles,
        patterns=patterns,
        tune=tune,
    )
    if as_json:
        typer.echo(json.dumps(result))
    else:
        show(result)
