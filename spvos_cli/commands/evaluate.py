"""spvos eval"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from spvos_cli.commands.options import Messages
from spvos_cli.commands.parameters import typer_command
from spvos_cli.errors import InputError
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.option import ALWAYS, OUTPUT, Use, option

if TYPE_CHECKING:  # --help must not wait for it
    from spvos_cli.ui import Reporter

SCORING, MASKS = "Scoring", "Masks against masks"
METHODS = ("dense", "static", "residual", "triple")


@dataclasses.dataclass(frozen=True)
class Benchmarks:
    """What is segmented and scored."""

    dataset: str | None = option(
        None,
        "The benchmark whose videos are segmented and scored; folder is a folder of annotated videos of your"
        " own, stills one of images with masks, for --clicks.",
        choices=("davis", "youtube-vos", "folder", "stills"),
    )
    clicks: bool = option(
        False,
        "No video is segmented: masks are made from boxes and clicks, in the first frame of each video or in"
        " each still, and the clicks are counted that good masks take.",
    )
    data: tuple[Path, ...] = option(
        (),
        "The folder that the benchmark is in. By default $SPVOS_DATA/DATASET, else ./data/DATASET.",
        metavar="DIR",
        kind=list[Path],
    )
    year: int = option(
        2016, "DAVIS's list of videos; in 2016 all objects of a video are one.", least=2016, most=2017
    )
    split: str | None = option(
        None,
        "The part of the benchmark: a list in DAVIS's ImageSets/YEAR (by default val), or a folder of"
        " YouTube-VOS (by default valid).",
    )
    frames: str = option(
        "auto",
        "The frames of YouTube-VOS that the network sees: all, the annotated ones alone, or all where they"
        " are there (auto).",
        choices=("auto", "all", "annotated"),
    )
    only: str | None = option(
        None,
        "The sequences that are segmented and scored: names with commas between, or a file with a name on"
        " each line. By default all.",
        metavar="A,B|FILE",
    )
    compare: str | None = option(
        None, "Several methods are scored side by side: dense,triple.", metavar="A,B"
    )


@dataclasses.dataclass(frozen=True)
class Scoring:
    """Masks that are there already, and what counts."""

    pred: Path | None = option(None, "The masks to score; no network runs then. Needs --truth.", panel=MASKS)
    truth: Path | None = option(None, "The true masks that those of --pred are compared with.", panel=MASKS)
    merge_objects: bool = option(
        False, "All objects of a video count as one, as in DAVIS-2016.", panel=SCORING
    )
    late_objects: bool = option(
        False,
        "Objects that the first mask lacks are scored too, from where they appear.",
        panel=SCORING,
    )
    all_frames: bool = option(False, "The first and the last frame of a video count too.", panel=SCORING)
    strict: bool = option(
        False, "Masks that are missing or too many are an error, not a warning.", panel=SCORING
    )


@dataclasses.dataclass(frozen=True)
class Deliveries:
    """Where results go."""

    out: Path = option(
        Path("spvos_eval"),
        "The folder that keeps the masks of finished sequences, which are not segmented again.",
        panel=OUTPUT,
    )
    fresh: bool = option(False, "Finished sequences are segmented again, not taken from --out.", panel=OUTPUT)
    report: Path | None = option(
        None,
        "A page with scores, curves and the worst frames is written to this file.",
        panel=OUTPUT,
        metavar="FILE.html",
    )
    csv: Path | None = option(
        None, "The official tool's two tables are written to this folder.", panel=OUTPUT, metavar="DIR"
    )
    overwrite: bool = option(False, "A report and tables that exist may be replaced.", panel=OUTPUT)


FROM = Use(lambda v: v.dataset is not None, "--dataset")
RUNS = Use(
    lambda v: v.dataset is not None and not v.clicks,
    "--dataset, whose videos a network segments (no --clicks)",
)
SCORES = Use(
    lambda v: v.pred is not None or (v.dataset is not None and not v.clicks),
    "--dataset (no --clicks), or --pred with --truth",
)
CLICKED = Use(lambda v: v.dataset in ("davis", "folder", "stills"), "--dataset davis, folder or stills")
STILLS = Use(lambda v: v.dataset != "stills" or v.clicks, "--clicks")
EITHER = Use(lambda v: v.pred is not None or v.dataset is not None, "--dataset, or --pred with --truth")
PAIR = Use(lambda v: v.pred is not None and v.truth is not None, "--pred with --truth")
DAVIS = Use(lambda v: v.dataset == "davis", "--dataset davis")
YOUTUBE = Use(lambda v: v.dataset == "youtube-vos", "--dataset youtube-vos")
SPLITS = Use(lambda v: v.dataset in ("davis", "youtube-vos"), "--dataset davis or youtube-vos")
GATED = Use(lambda v: v.method != "dense" or v.compare, "a --method with gates")
ONE = Use(lambda v: v.compare is None, "no --compare, which names methods")
ONE_FOLDER = Use(lambda v: v.compare is None, "no --compare, whose tables lie beside each method's masks")

USES: dict[str, tuple[Use, ...]] = {
    "dataset": (STILLS,),
    "clicks": (CLICKED,),
    "data": (FROM,),
    "year": (DAVIS,),
    "split": (SPLITS,),
    "frames": (YOUTUBE,),
    "only": (FROM,),
    "compare": (RUNS,),
    "pred": (PAIR,),
    "truth": (PAIR,),
    "merge_objects": (EITHER,),
    "late_objects": (SCORES,),
    "all_frames": (SCORES,),
    "strict": (SCORES,),
    "out": (RUNS,),
    "fresh": (RUNS,),
    "report": (SCORES,),
    "csv": (SCORES, ONE_FOLDER),
    "overwrite": (SCORES,),
    "model": (RUNS,),
    "weights": (FROM,),
    "method": (RUNS, ONE),
    "sparse": (RUNS, GATED),
    "gate_all": (RUNS, GATED),
    "strategy": (RUNS, GATED),
    "gate": (RUNS, GATED),
    "size": (RUNS,),
    "mem_every": (RUNS,),
    "top_k": (RUNS,),
    "max_memory": (RUNS,),
    "long_memory": (RUNS,),
    "reuse": (RUNS, GATED),
    "region": (RUNS,),
    "flip": (RUNS,),
    "engine": (FROM,),
    "device": (FROM,),
    "dtype": (FROM,),
    "threads": (ALWAYS,),
    "quiet": (ALWAYS,),
    "json": (ALWAYS,),
}


def evaluate(
    videos: Benchmarks, scoring: Scoring, deliveries: Deliveries, engine: EngineOptions, messages: Messages
) -> None:
    """Segment a benchmark's videos from their first masks and score the result, or score masks against masks.

    [bold]spvos eval --dataset davis --data DAVIS[/bold] prints J and F of every sequence of DAVIS-2016 val.

    [bold]spvos eval --pred DIR --truth DIR[/bold] prints those of masks that are there already.

    [bold]spvos eval --clicks --dataset stills --data DIR[/bold] prints how many clicks good masks take.
    """
    if (videos.dataset is None) == (scoring.pred is None):
        found, expected = "not exactly one of the two", "--dataset NAME, or --pred DIR with --truth DIR"
        raise InputError("spvos eval", found=found, expected=expected, fix="see spvos eval --help")
    if len(videos.data) > 1:
        found = f"{len(videos.data)} folders"
        raise InputError("--data", found=found, expected="one: a run is of one benchmark", fix="--data DIR")
    methods = parse_methods(videos.compare)

    from spvos_cli.evaluation.protocol import ScoringProtocol
    from spvos_cli.evaluation.report.deliver import Outputs
    from spvos_cli.ui import Reporter

    outputs = Outputs(
        messages.json, scoring.strict, deliveries.report, deliveries.csv, overwrite=deliveries.overwrite
    )
    reporter = Reporter(quiet=messages.quiet)
    merge, late, every = scoring.merge_objects, scoring.late_objects, scoring.all_frames
    if scoring.pred is not None and scoring.truth is not None:
        from spvos_cli.evaluation.run import evaluate_folders

        outputs.check()
        protocol = ScoringProtocol(merge, late, first_frames=every, last_frame=every)
        evaluate_folders(
            scoring.pred, scoring.truth, protocol, outputs, workers=engine.threads, reporter=reporter
        )
        return

    assert videos.dataset is not None
    if videos.clicks:
        show_clicks(videos, engine, reporter, merge_objects=merge, as_json=messages.json)
        return

    from spvos_cli.benchmark.datasets import find_benchmark
    from spvos_cli.benchmark.evaluate import evaluate_benchmark, shared_machine
    from spvos_cli.benchmark.outcome import Task
    from spvos_cli.inference.machine import use_threads

    benchmark = find_benchmark(
        videos.dataset,
        videos.data[0] if videos.data else None,
        year=videos.year,
        split=videos.split,
        only=videos.only,
        frames=videos.frames,
    )
    outputs = outputs._replace(split=benchmark.split)
    outputs.check()
    merge, late = benchmark.merge_objects or merge, benchmark.late_objects or late
    benchmark = benchmark._replace(merge_objects=merge, late_objects=late)
    protocol = ScoringProtocol(merge, late, first_frames=every, last_frame=every or late)
    engine = shared_machine(engine)
    use_threads(engine.threads)
    task = Task(benchmark, engine, protocol, deliveries.out, fresh=deliveries.fresh)
    evaluate_benchmark(task, outputs, reporter, methods)


def show_clicks(
    videos: Benchmarks, engine: EngineOptions, reporter: Reporter, *, merge_objects: bool, as_json: bool
) -> None:
    """Clicks on everything, and prints what came of it."""
    from spvos_cli.benchmark.clicks import click_columns, click_on, click_sequences, print_columns
    from spvos_cli.inference.machine import use_threads

    assert videos.dataset is not None
    data = videos.data[0] if videos.data else None
    sequences = click_sequences(videos.dataset, data, videos.year, videos.split, videos.only)
    use_threads(engine.threads)
    suggest = engine.suggest(Path(engine.weights) if engine.weights else None)
    merge = merge_objects or (videos.dataset == "davis" and videos.year == 2016)
    objects = list(
        click_on(reporter.track(sequences, len(sequences), "clicking", "it/s"), suggest, merge_objects=merge)
    )
    columns = click_columns(objects)
    if as_json:
        typer.echo(json.dumps(columns))
    else:
        print_columns(columns)


def parse_methods(text: str | None) -> tuple[str, ...]:
    """ "dense,triple" -> methods; none of nothing.

    Raises:
        InputError: not two or more different methods.
    """
    names = tuple(text.split(",")) if text else ()
    if names and (len(names) < 2 or len(set(names)) != len(names) or not set(names) <= set(METHODS)):
        expected = f"two or more of {', '.join(METHODS)}"
        raise InputError(
            f"--compare {text}", found="no such methods", expected=expected, fix="--compare dense,triple"
        )
    return names


eval_command = typer_command(evaluate, USES)
