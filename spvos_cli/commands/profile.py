"""spvos profile"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import typer

from spvos_cli.commands.options import COMPUTER, GATES, Messages
from spvos_cli.commands.parameters import Only, typer_command
from spvos_cli.errors import InputError
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.option import ALWAYS, Use, option

WHAT, WORKLOAD = "What", "Workload"
FIGURES = ("params", "flops", "layers", "speed", "growth", "paper", "patterns", "tune")
ENGINE = Only(("model", "weights", *GATES, "mem_every", "top_k", "region", "engine", *COMPUTER))


@dataclasses.dataclass(frozen=True)
class Figures:
    """What is found out."""

    params: bool = option(False, "The number and size of the network's parameters.", panel=WHAT)
    flops: bool = option(False, "The multiply-accumulates of a frame, by module.", panel=WHAT)
    layers: bool = option(
        False,
        "The multiply-accumulates of a frame by convolution, and with --speed the time of each.",
        panel=WHAT,
    )
    speed: bool = option(
        False,
        "The time that a frame takes on this machine; with --video from end to end and in the network alone,"
        " by stage.",
        panel=WHAT,
    )
    growth: Path | None = option(
        None,
        "How the time of a frame grows with objects, frame size and length: a picture (.png) of it is drawn"
        " to this file.",
        panel=WHAT,
        metavar="FILE",
    )
    plot: Path | None = option(
        None,
        "With --speed and --video, a picture (.png) of the stages of a frame is drawn to this file.",
        panel=WHAT,
        metavar="FILE",
    )
    vary: str | None = option(
        None,
        "With --speed and --video, what else is timed in turn, one change at a time: objects, dtype, engine,"
        " region, or several with commas.",
        panel=WHAT,
        metavar="NAME,..",
    )
    paper: bool = option(False, "The paper's tables beside what is counted here.", panel=WHAT)
    patterns: Path | None = option(
        None,
        "A picture (.png) of what trained gates decide, and where, is drawn to this file.",
        panel=WHAT,
        metavar="FILE",
    )
    tune: bool = option(
        False,
        "It is measured when sparse kernels pay on this GPU, and whether CUDA graphs do; later runs of spvos"
        " use what is found.",
        panel=WHAT,
    )
    compare: str | None = option(
        None,
        "With --speed, two of dense, static, residual, triple and eager are timed in turn: dense,triple.",
        panel=WHAT,
        metavar="A,B",
    )


@dataclasses.dataclass(frozen=True)
class WorkloadOptions:
    """What is counted, timed or looked at."""

    frame: str = option("854x480", "The size of a frame in pixels.", panel=WORKLOAD, metavar="WxH")
    objects: int = option(
        1,
        "How many objects are followed; with --speed and --video the mask's objects are cut into so many.",
        panel=WORKLOAD,
        least=1,
        most=255,
    )
    video_list: Path | None = option(
        None,
        "A CSV file with the columns frames, objects, width, height: counts are averages over these videos,"
        " in the place of one frame.",
        panel=WORKLOAD,
    )
    density: str | None = option(
        None,
        "The shares of pixels that gates compute on sparse frames, as fractions by module, in the place of"
        " what trained gates decide.",
        panel=WORKLOAD,
        metavar="D=..,Q=..",
    )
    video: Path | None = option(
        None,
        "The video that is timed, or on which trained gates decide; by default gates decide on a rendered"
        " clip.",
        panel=WORKLOAD,
    )
    mask: Path | None = option(None, "The mask of the first frame of --video.", panel=WORKLOAD)
    cycles: int = option(
        5,
        "With --speed, how many memory cycles are timed, or how often --video is run.",
        panel=WORKLOAD,
        least=1,
    )
    length: int = option(
        10_000, "With --growth, how many frames the longest video has.", panel=WORKLOAD, least=1
    )


def _counts(values: SimpleNamespace) -> bool:
    """Multiply-accumulates are what is shown where nothing else is asked for."""
    return bool(values.flops or not any(getattr(values, name) for name in FIGURES))


def _shows_network(values: SimpleNamespace) -> bool:
    """Whether more is asked for than what is the same for every network."""
    figures = ("params", "layers", "speed", "growth", "patterns")
    return bool(_counts(values) or any(getattr(values, name) for name in figures))


def _times_video(values: SimpleNamespace) -> bool:
    """Whether a video is run as a whole, in the place of frames of a size."""
    return bool(values.speed and values.video)


def _times_frames(values: SimpleNamespace) -> bool:
    return bool(values.speed and not values.video)


SPEED = Use(lambda v: v.speed, "--speed")
FRAMES = Use(_times_frames, "--speed without --video")
RUNS = Use(_times_video, "--speed with --video")
ONE_FRAME = Use(
    lambda v: _times_frames(v) or v.layers or (_counts(v) and not v.video_list),
    "--layers, --speed without --video, or --flops without --video-list",
)
OBJECTS = Use(
    lambda v: v.speed or v.layers or (_counts(v) and not v.video_list),
    "--layers, --speed, or --flops without --video-list",
)
COUNTS = Use(_counts, "--flops")
SHARES = Use(lambda v: _counts(v) or _times_frames(v), "--flops, or --speed without --video")
CLIP = Use(
    lambda v: v.speed or v.growth or v.patterns or (_counts(v) and not v.density),
    "--speed, --growth, --patterns, or --flops without --density",
)
MEMORY = Use(lambda v: _counts(v) or v.speed or v.growth, "--flops, --speed or --growth")
GROWTH = Use(lambda v: v.growth, "--growth")
TIMES = Use(lambda v: v.speed or v.growth, "--speed or --growth")
WINDOWS = Use(lambda v: _times_video(v) or v.growth, "--speed with --video, or --growth")
VIDEO = Use(lambda v: v.video is not None, "--video")
NETWORK = Use(_shows_network, "--params, --flops, --layers, --speed, --growth or --patterns")
GATED = Use(lambda v: v.method != "dense" or v.compare, "a --method with gates")
METHOD = Use(
    lambda v: not v.compare or _counts(v) or v.params or v.layers or v.patterns,
    "no --compare, which names methods",
)
COMPUTES = Use(
    lambda v: v.speed or v.growth or v.patterns or _counts(v), "--speed, --growth, --patterns or --flops"
)
DEVICE = Use(
    lambda v: v.speed or v.growth or v.patterns or v.tune or _counts(v),
    "--speed, --growth, --tune, --patterns or --flops",
)

USES: dict[str, tuple[Use, ...]] = {
    **dict.fromkeys(FIGURES, (ALWAYS,)),
    "compare": (SPEED, FRAMES),
    "plot": (SPEED, RUNS),
    "vary": (SPEED, RUNS),
    "frame": (ONE_FRAME,),
    "objects": (OBJECTS,),
    "video_list": (COUNTS,),
    "density": (SHARES,),
    "video": (CLIP,),
    "mask": (CLIP, VIDEO),
    "cycles": (SPEED,),
    "length": (GROWTH,),
    "model": (NETWORK,),
    "weights": (NETWORK,),
    "method": (NETWORK, METHOD),
    "sparse": (NETWORK, GATED),
    "gate_all": (NETWORK, GATED),
    "strategy": (NETWORK, GATED),
    "gate": (NETWORK, GATED),
    "mem_every": (MEMORY,),
    "top_k": (TIMES,),
    "region": (WINDOWS,),
    "engine": (COMPUTES,),
    "device": (DEVICE,),
    "dtype": (COMPUTES,),
    "threads": (COMPUTES,),
    "quiet": (ALWAYS,),
    "json": (ALWAYS,),
}


def profile(
    figures: Figures,
    workload: WorkloadOptions,
    engine: Annotated[EngineOptions, ENGINE],
    messages: Messages,
) -> None:
    """Count what a network costs, and time it on this machine.

    [bold]spvos profile --flops[/bold] counts one frame.

    [bold]spvos profile --speed --compare dense,triple[/bold] times two methods in turn.

    [bold]spvos profile --speed --video input.mp4 --mask first.png[/bold] times a run of spvos segment,
    stage by stage.
    """
    from spvos_cli.inference.machine import use_threads
    from spvos_cli.profiling.arguments import parse_comparison, parse_density, parse_frame, parse_vary
    from spvos_cli.profiling.figures import profile
    from spvos_cli.profiling.show import show

    if not any(getattr(figures, name) for name in FIGURES):
        figures = dataclasses.replace(figures, params=True, flops=True)
    use_threads(engine.threads)
    for file in filter(None, (figures.plot, figures.growth)):
        refuse_existing(file)
    runs = figures.speed and workload.video is not None
    parsed = {
        "speed": figures.speed and not runs,
        "timed": runs or figures.growth is not None,
        "compare": parse_comparison(figures.compare),
        "frame": parse_frame(workload.frame),
        "density": parse_density(workload.density),
    }
    elsewhere = ("growth", "plot", "vary", "length")
    given = {k: v for k, v in (vars(figures) | vars(workload)).items() if k not in elsewhere}
    result = profile(engine, **(given | parsed))
    if runs:
        result["speed"] = time_runs(engine, figures, workload, parse_vary(figures.vary))
    if figures.growth is not None:
        result["growth"] = time_growing(engine, figures.growth, workload)
    if messages.json:
        typer.echo(json.dumps(result))
    elif not messages.quiet:
        show(result)


def time_runs(
    engine: EngineOptions, figures: Figures, workload: WorkloadOptions, vary: tuple[str, ...]
) -> dict[str, Any]:
    """Runs of the video, as `time_video` gives them, drawn where that is asked for."""
    from spvos_cli.profiling.runs.draw import draw_stages
    from spvos_cli.profiling.runs.timing import time_video
    from spvos_cli.profiling.runs.variants import variants_of

    assert workload.video is not None
    variants = variants_of(engine, workload.objects, vary)
    found = time_video(variants, workload.video, workload.mask, workload.cycles)
    if figures.plot is not None:
        draw_stages(found["runs"], figures.plot)
    return found


def time_growing(engine: EngineOptions, path: Path, workload: WorkloadOptions) -> dict[str, Any]:
    """As `time_growth` gives it, drawn."""
    from spvos_cli.profiling.runs.growth import draw_growth, time_growth

    found = time_growth(engine, workload.video, workload.mask, workload.length)
    draw_growth(found, path)
    return found


def refuse_existing(path: Path) -> None:
    """Before anything takes its time.

    Raises:
        InputError: there is a file.
    """
    if path.exists():
        found, expected = "it exists already", "a file that does not"
        raise InputError(path, found=found, expected=expected, fix="another name")


profile_command = typer_command(profile, USES)
