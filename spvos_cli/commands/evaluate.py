"""spvos eval"""

from __future__ import annotations

import json
from enum import Enum
from typing import Annotated

import typer

from spvos_cli.commands.options import (
    DataOption,
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


class Dataset(str, Enum):
    davis = "davis"


def eval_command(
    context: typer.Context,
    dataset: Annotated[Dataset, typer.Option("--dataset", help="What to segment and score.")],
    data: DataOption = None,
    year: Annotated[int, typer.Option("--year", min=2016, max=2017, help="2016: all objects as one.")] = 2016,
    split: Annotated[str, typer.Option("--split", help="A list in ImageSets/YEAR.")] = "val",
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
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Segment a benchmark's videos from their first masks and score the result.

    [bold]spvos eval --dataset davis --data DAVIS[/bold] prints J and F of every sequence of DAVIS-2016 val.
    """
    from spvos_cli.data.collections import dataset_root
    from spvos_cli.evaluation.report import print_table, summary
    from spvos_cli.inference.benchmark import run_davis
    from spvos_cli.ui import Reporter

    root = dataset_root(dataset.value, data[0] if data else None)
    results = run_davis(root, year, split, engine_options(context.params), Reporter(quiet=quiet))
    if as_json:
        typer.echo(json.dumps(summary(results)))
    else:
        print_table(results)
