"""spvos eval"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from spvos_cli.commands.options import (
    OUTPUT,
    DataOption,
    Device,
    DeviceOption,
    Dtype,
    DtypeOption,
    GateAllOption,
    JsonOption,
    MaxMemoryOption,
    MemEveryOption,
    Method,
    MethodOption,
    Model,
    ModelOption,
    OverwriteOption,
    QuietOption,
    ReuseOption,
    SizeOption,
    StrategyOption,
    StructureOption,
    ThreadsOption,
    TopKOption,
    WeightsOption,
    engine_options,
)
from spvos_cli.errors import InputError


class Dataset(str, Enum):
    davis = "davis"
    youtube_vos = "youtube-vos"
    folder = "folder"


class Frames(str, Enum):
    auto = "auto"
    all = "all"
    annotated = "annotated"


SCORING, MASKS = "Scoring", "Masks against masks"


def eval_command(
    context: typer.Context,
    dataset: Annotated[
        Dataset | None, typer.Option("--dataset", help="What to segment and score.", show_default=False)
    ] = None,
    data: DataOption = None,
    pred: Annotated[
        Path | None, typer.Option("--pred", help="Masks to score instead.", rich_help_panel=MASKS)
    ] = None,
    truth: Annotated[Path | None, typer.Option("--truth", help="True masks.", rich_help_panel=MASKS)] = None,
    merge: Annotated[
        bool,
        typer.Option(
            "--merge-objects", help="All ids are one object, as in DAVIS-2016.", rich_help_panel=SCORING
        ),
    ] = False,
    late: Annotated[
        bool,
        typer.Option(
            "--late-objects",
            help="Score objects that the first mask lacks, from where they appear.",
            rich_help_panel=SCORING,
        ),
    ] = False,
    all_frames: Annotated[
        bool,
        typer.Option("--all-frames", help="First and last frames count too.", rich_help_panel=SCORING),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Complaints are errors.", rich_help_panel=SCORING)
    ] = False,
    year: Annotated[int, typer.Option("--year", min=2016, max=2017, help="2016: all objects as one.")] = 2016,
    split: Annotated[
        str | None,
        typer.Option(
            "--split", help="A list in ImageSets/YEAR, or YouTube-VOS's folder; default val, valid."
        ),
    ] = None,
    frames: Annotated[
        Frames, typer.Option("--frames", help="YouTube-VOS: which frames the network sees.")
    ] = Frames.auto,
    only: Annotated[
        str | None, typer.Option("--only", metavar="A,B|FILE", help="These sequences alone.")
    ] = None,
    compare: Annotated[
        str | None, typer.Option("--compare", metavar="A,B", help="Methods side by side: dense,triple.")
    ] = None,
    out: Annotated[
        Path,
        typer.Option("--out", help="Where masks of finished sequences are kept.", rich_help_panel=OUTPUT),
    ] = Path("spvos_eval"),
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            help="Run finished sequences again instead of taking their masks.",
            rich_help_panel=OUTPUT,
        ),
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
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE.html", help="A page with it all.", rich_help_panel=OUTPUT),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="DIR", help="The official tool's two files.", rich_help_panel=OUTPUT),
    ] = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Segment a benchmark's videos from their first masks and score the result, or score masks against masks.

    [bold]spvos eval --dataset davis --data DAVIS[/bold] prints J and F of every sequence of DAVIS-2016 val;
    [bold]spvos eval --pred DIR --truth DIR[/bold] those of masks that are there already.
    """
    from spvos_cli.evaluation.protocol import ScoringProtocol
    from spvos_cli.evaluation.report.deliver import Outputs
    from spvos_cli.ui import Reporter

    if (dataset is None) == (pred is None) or (pred is None) != (truth is None):
        found = "not exactly one of the two"
        expected = "--dataset NAME, or --pred DIR with --truth DIR"
        raise InputError("spvos eval", found=found, expected=expected, fix="see spvos eval --help")
    if compare and csv:
        found, expected = "one folder for several methods", "no --csv: each method's masks have theirs beside"
        raise InputError("--csv", found=found, expected=expected, fix="--out DIR")
    outputs = Outputs(as_json, strict, report, csv, overwrite=overwrite)
    reporter = Reporter(quiet=quiet)
    if pred:
        from spvos_cli.evaluation.run import evaluate_folders

        outputs.check()
        protocol = ScoringProtocol(merge, late, first_frames=all_frames, last_frame=all_frames)
        evaluate_folders(pred, truth, protocol, outputs, workers=threads, reporter=reporter)
        return

    from spvos_cli.benchmark.datasets import find_benchmark
    from spvos_cli.benchmark.evaluate import evaluate_benchmark
    from spvos_cli.benchmark.outcome import Task

    benchmark = find_benchmark(
        dataset.value, data[0] if data else None, year=year, split=split, only=only, frames=frames.value
    )
    outputs = outputs._replace(split=benchmark.split)
    outputs.check()
    merge, late = benchmark.merge_objects or merge, benchmark.late_objects or late
    benchmark = benchmark._replace(merge_objects=merge, late_objects=late)
    protocol = ScoringProtocol(merge, late, first_frames=all_frames, last_frame=all_frames or late)
    task = Task(benchmark, engine_options(context.params), protocol, out, fresh=fresh)
    evaluate_benchmark(task, outputs, reporter, parse_methods(compare))


def parse_methods(text: str | None) -> tuple[str, ...]:
    """ "dense,triple" -> methods; none of nothing.

    Raises:
        InputError: not two or more different methods.
    """
    names = tuple(text.split(",")) if text else ()
    known = [method.value for method in Method]
    if names and (len(names) < 2 or len(set(names)) != len(names) or not set(names) <= set(known)):
        expected = f"two or more of {', '.join(known)}"
        raise InputError(
            f"--compare {text}", found="no such methods", expected=expected, fix="--compare dense,triple"
        )
    return names
