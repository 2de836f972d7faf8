"""spvos segment"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import typer

from spvos_cli.commands.options import Messages
from spvos_cli.commands.parameters import typer_command
from spvos_cli.errors import InputError
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.option import OUTPUT, option
from spvos_cli.processors import default_threads
from spvos_cli.segment.options import SegmentOptions
from spvos_cli.segment.uses import USES


@dataclasses.dataclass(frozen=True)
class Segmentation:
    """What is segmented, and where it goes."""

    input: str | None = option(
        None,
        "A video file, a folder or glob of images, or - for a video on standard input.",
        positional=True,
        metavar="INPUT",
    )
    mask: tuple[str, ...] = option(
        (),
        "An image with a colour or an id for each object in a frame (by default the first), or a folder of"
        " such images named as the frames are. May be given several times.",
        names=("--mask", "-m"),
        metavar="[FRAME:]MASK",
        kind=list[str],
    )
    output: tuple[str, ...] = option(
        (),
        "Where masks go; the suffix says in what form: a folder (indexed PNGs), .mp4 (overlay), .mkv"
        " (labels), .mov or .webm (cut-out), .json (COCO), .jsonl (a line for each frame), .png (contact"
        " sheet), - (labels on standard output); folders .objects, .rgba, .soft. May be given several times."
        " By default a folder and an overlay, named after INPUT.",
        names=("--output", "-o"),
        metavar="OUT",
        kind=list[str],
        panel=OUTPUT,
    )
    demo: bool = option(False, "A short clip is rendered, segmented and scored; it needs no INPUT.")


def segment(task: Segmentation, options: SegmentOptions, engine: EngineOptions, messages: Messages) -> None:
    """Follow the objects of a mask through a video.

    [bold]spvos segment input.mp4 --mask first.png[/bold] writes input_masks/ and input_overlay.mp4.

    [bold]spvos segment input.mp4 --mask 120:later.png --backward -o cut.mov[/bold] starts from frame 120,
    goes both ways, and writes a cut-out with alpha.

    [bold]spvos segment --demo[/bold] shows how it goes without a video of yours.
    """
    check(task, messages)

    from spvos_cli.inference.machine import use_threads
    from spvos_cli.segment.api import segment_video
    from spvos_cli.segment.demo import run_demo
    from spvos_cli.ui import Reporter

    use_threads(engine.threads)
    reporter = Reporter(quiet=messages.quiet)
    keywords: dict[str, Any] = {**_fields(engine), **_fields(options), "reporter": reporter}
    keywords["threads"] = engine.threads or default_threads()
    score = None
    if task.input is None:
        summary, score = run_demo(Path(task.output[0] if task.output else "spvos_demo"), **keywords)
        reporter.note(f"J&F against the rendered truth: {score:.3f}")
    else:
        summary = segment_video(task.input, task.mask, task.output, **keywords)
    pace = f"{summary.frames} frames in {summary.seconds:.1f} s, {summary.fps:.1f} fps"
    reporter.note(f"{pace}: {', '.join(summary.outputs)}")
    if messages.json:
        typer.echo(json.dumps(summary._asdict() | ({} if score is None else {"score": score})))


def check(task: Segmentation, messages: Messages) -> None:
    """Whether there is something to do, and one place for each thing.

    Raises:
        InputError: there is none.
    """
    if task.demo and len(task.output) > 1:
        found = f"{len(task.output)} outputs"
        raise InputError("--demo", found=found, expected="one folder, which gets all", fix="-o FOLDER")
    if not task.demo and task.input is None:
        expected, fix = "a video and a mask, or --demo", "spvos segment INPUT --mask MASK"
        raise InputError("spvos segment", found="no INPUT", expected=expected, fix=fix)
    if messages.json and "-" in task.output:
        found = "standard output is an output already"
        raise InputError("--json", found=found, expected="one of the two", fix="-o FILE")


def _fields(options: Any) -> dict[str, Any]:
    return {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}


segment_command = typer_command(segment, USES)
