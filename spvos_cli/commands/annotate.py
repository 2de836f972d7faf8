"""spvos annotate"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from spvos_cli.commands.options import Messages
from spvos_cli.commands.parameters import Only, typer_command
from spvos_cli.errors import InputError
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.option import ALWAYS, OUTPUT, Use, check_values, option
from spvos_cli.segment import uses
from spvos_cli.segment.options import SegmentOptions

FRAMES = Only(("track", "range", "fps"))


@dataclasses.dataclass(frozen=True)
class AnnotationTask:
    """What is annotated, and where."""

    input: str | None = option(
        None,
        "A video file, or a folder or glob of images.",
        positional=True,
        metavar="INPUT",
    )
    masks: Path | None = option(
        None,
        "The folder of the masks, which may have some already. By default NAME_annotations.",
        metavar="FOLDER",
        panel=OUTPUT,
    )
    port: int = option(
        0, "The port of the page on this machine; 0 takes one that is free.", least=0, most=65535
    )
    browser: bool = option(
        True, "Whether a browser is opened, where there is a display.", names=("--browser/--no-browser",)
    )

    def __post_init__(self) -> None:
        check_values(self)


def annotate(
    task: AnnotationTask,
    frames: Annotated[SegmentOptions, FRAMES],
    engine: EngineOptions,
    messages: Annotated[Messages, Only(("quiet",))],
) -> None:
    """Make masks by boxes, clicks and a brush in your browser, and correct them in any frame.

    [bold]spvos annotate input.mp4[/bold] prints an address of this machine, and opens it. Masks of the frames
    that you annotate are in input_annotations/. Ctrl-C ends it with the command that segments the video with
    them.
    """
    if task.input is None:
        found, fix = "no INPUT", "spvos annotate INPUT"
        raise InputError("spvos annotate", found=found, expected="a video to annotate", fix=fix)
    try:
        from spvos_cli.annotate.serve import serve
    except ModuleNotFoundError as error:
        expected, fix = "Starlette and uvicorn", "pip install 'spvos[annotate]'"
        raise InputError("spvos annotate", found=f"no {error.name}", expected=expected, fix=fix) from error
    from spvos_cli.annotate.session import Session, check_seekable
    from spvos_cli.inference.machine import use_threads
    from spvos_cli.segment.job import open_input
    from spvos_cli.ui import Reporter

    check_seekable(task.input)
    open_input(task.input, frames).close()  # what cannot be read is told before a network is loaded
    use_threads(engine.threads)
    reporter = Reporter(quiet=messages.quiet)
    network = engine.network()
    suggest = engine.suggest()
    session = Session(task.input, task.masks, frames, engine, network, reporter, suggest)
    reporter.note(f"masks of annotated frames are in {session.folder}; Ctrl-C ends this")
    serve(session, task.port, browser=task.browser, say=typer.echo)


GATED = ("sparse", "gate_all", "strategy", "reuse")
USES: dict[str, tuple[Use, ...]] = {
    name: (uses.GATES,) if name in GATED else (ALWAYS,)
    for name in (
        *("input", "masks", "port", "browser", "quiet", *FRAMES.names),
        *(field.name for field in dataclasses.fields(EngineOptions)),
    )
}
annotate_command = typer_command(annotate, USES)
