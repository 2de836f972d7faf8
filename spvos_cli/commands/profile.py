"""spvos profile"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import typer

from spvos_cli.commands.options import COMPUTER, GATES, Messages
from spvos_cli.commands.parameters import Only, typer_command
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.option import ALWAYS, Use, option

WHAT, WORKLOAD = "What", "Workload"
FIGURES = ("params", "flops", "layers", "speed", "paper", "patterns", "tune")
ENGINE = Only(("model", "weights", *GATES, "mem_every", "top_k", "engine", *COMPUTER))


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
    speed: bool = option(False, "The time that a frame takes on this machine.", panel=WHAT)
    paper: bool = option(False, "The paper's tables beside what is counted here.", panel=WHAT)
    patterns: Path | None = option(
        None,
        "A picture (.png) of what trained gates decide, and where, is drawn to this file.",
        panel=WHAT,
        metavar="FILE",
    )
    tune: bool = option(
        False,
        "It is measured when sparse kernels pay on this GPU; later runs of spvos use what is found.",
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
    objects: int = option(1, "How many objects are followed.", panel=WORKLOAD, least=1)
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
        "The video on which trained gates decide; by default a rendered clip.",
        panel=WORKLOAD,
    )
    mask: Path | None = option(None, "The mask of the first frame of --video.", panel=WORKLOAD)
    cycles: int = option(5, "With --speed, how many memory cycles are timed.", panel=WORKLOAD, least=1)


def _counts(values: SimpleNamespace) -> bool:
    """Multiply-accumulates are what is shown where nothing else is asked for."""
    return bool(values.flops or not any(getattr(values, name) for name in FIGURES))


def _shows_network(values: SimpleNamespace) -> bool:
    """Whether more is asked for than what is the same for every network."""
    return bool(_counts(values) or any(getattr(values, n) for n in ("params", "layers", "speed", "patterns")))


SPEED = Use(lambda v: v.speed, "--speed")
ONE_FRAME = Use(
    lambda v: v.speed or v.layers or (_counts(v) and not v.video_list),
    "--layers, --speed, or --flops without --video-list",
)
COUNTS = Use(_counts, "--flops")
SHARES = Use(lambda v: _counts(v) or v.speed, "--flops or --speed")
DECISIONS = Use(
    lambda v: v.patterns or (_counts(v) and not v.density), "--patterns, or --flops without --density"
)
VIDEO = Use(lambda v: v.video is not None, "--video")
NETWORK = Use(_shows_network, "--params, --flops, --layers, --speed or --patterns")
GATED = Use(lambda v: v.method != "dense" or v.compare, "a --method with gates")
METHOD = Use(
    lambda v: not v.compare or _counts(v) or v.params or v.layers or v.patterns,
    "no --compare, which names methods",
)
COMPUTES = Use(lambda v: v.speed or v.patterns or _counts(v), "--speed, --patterns or --flops")
DEVICE = Use(
    lambda v: v.speed or v.patterns or v.tune or _counts(v), "--speed, --tune, --patterns or --flops"
)

USES: dict[str, tuple[Use, ...]] = {
    **dict.fromkeys(FIGURES, (ALWAYS,)),
    "compare": (SPEED,),
    "frame": (ONE_FRAME,),
    "objects": (ONE_FRAME,),
    "video_list": (COUNTS,),
    "density": (SHARES,),
    "video": (DECISIONS,),
    "mask": (DECISIONS, VIDEO),
    "cycles": (SPEED,),
    "model": (NETWORK,),
    "weights": (NETWORK,),
    "method": (NETWORK, METHOD),
    "sparse": (NETWORK, GATED),
    "gate_all": (NETWORK, GATED),
    "strategy": (NETWORK, GATED),
    "mem_every": (SHARES,),
    "top_k": (SPEED,),
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
    """
    from spvos_cli.inference.machine import use_threads
    from spvos_cli.profiling.arguments import parse_comparison, parse_density, parse_frame
    from spvos_cli.profiling.figures import profile
    from spvos_cli.profiling.show import show

    if not any(getattr(figures, name) for name in FIGURES):
        figures = dataclasses.replace(figures, params=True, flops=True)
    use_threads(engine.threads)
    parsed = {
        "compare": parse_comparison(figures.compare),
        "frame": parse_frame(workload.frame),
        "density": parse_density(workload.density),
    }
    result = profile(engine, **(vars(figures) | vars(workload) | parsed))
    if messages.json:
        typer.echo(json.dumps(result))
    elif not messages.quiet:
        show(result)


profile_command = typer_command(profile, USES)
