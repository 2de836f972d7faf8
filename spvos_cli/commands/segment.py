"""spvos segment"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import typer

from spvos_cli.commands.options import Messages
from spvos_cli.commands.parameters import typer_command
from spvos_cli.errors import InputError, RunError
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.option import OUTPUT, given_fields, option
from spvos_cli.processors import default_threads
from spvos_cli.segment.options import SegmentOptions
from spvos_cli.segment.uses import USES, is_many

MANY = "Many videos"


@dataclasses.dataclass(frozen=True)
class Segmentation:
    """What is segmented, and where it goes."""

    input: tuple[str, ...] = option(
        (),
        "A video file, a folder or glob of images, or - for a video on standard input. Several images are the"
        " frames of one video, several of anything else as many videos.",
        positional=True,
        metavar="INPUT...",
        kind=list[str],
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
        " sheet), - (labels on standard output); folders .objects, .rgba, .mots, .soft. May be given several"
        " times. By default a folder and an overlay, named after INPUT. Of several videos with {name},"
        " {parent} or {number} in it.",
        names=("--output", "-o"),
        metavar="OUT",
        kind=list[str],
        panel=OUTPUT,
    )
    demo: bool = option(False, "A short clip is rendered, segmented and scored; it needs no INPUT.")
    mask_dir: Path | None = option(
        None,
        "A folder with the masks of several videos: for NAME.mp4 a file NAME.png, or a folder NAME of masks.",
        panel=MANY,
        metavar="DIR",
    )
    jobs: Path | None = option(
        None,
        "A table of videos, .csv or .jsonl, whose columns are names of options: input, mask, output, start,"
        " box and others. Options beside it are those of all rows that do not say otherwise.",
        panel=MANY,
        metavar="FILE",
    )
    workers: int | None = option(
        None,
        "How many processes segment several videos, with the threads shared between them. By default as many"
        " as there are threads, and memory; on a GPU 1.",
        panel=MANY,
        least=1,
    )
    cluster: str | None = option(
        None,
        "Several videos are segmented on a Ray cluster, whose machines share the storage: auto is the cluster"
        " that this machine is part of. Each worker has --threads, by default 1.",
        panel=MANY,
        metavar="auto|ADDRESS",
    )


def segment(task: Segmentation, options: SegmentOptions, engine: EngineOptions, messages: Messages) -> None:
    """Follow the objects of a mask through a video.

    [bold]spvos segment input.mp4 --mask first.png[/bold] writes input_masks/ and input_overlay.mp4.

    [bold]spvos segment input.mp4 --mask 120:later.png --backward -o cut.mov[/bold] starts from frame 120,
    goes both ways, and writes a cut-out with alpha.

    [bold]spvos segment *.mp4 --mask-dir masks -o 'out/{name}_masks/'[/bold] segments many videos, and when
    called again those that are new or changed.

    [bold]spvos segment --demo[/bold] shows how it goes without a video of yours.
    """
    check(task, messages)
    if is_many(task):
        segment_many(task, options, engine, messages)
        return

    from spvos_cli.inference.machine import use_threads
    from spvos_cli.segment.api import segment_video
    from spvos_cli.segment.demo import run_demo
    from spvos_cli.ui import Reporter

    use_threads(engine.threads)
    reporter = Reporter(quiet=messages.quiet)
    keywords: dict[str, Any] = {**vars(engine), **vars(options), "reporter": reporter}
    keywords["threads"] = engine.threads or default_threads()
    score = None
    if not task.input:
        summary, score = run_demo(Path(task.output[0] if task.output else "spvos_demo"), **keywords)
        reporter.note(f"J&F against the rendered truth: {100 * score:.1f} %")
    else:
        input = task.input if len(task.input) > 1 else task.input[0]
        summary = segment_video(input, task.mask, task.output, **keywords)
    of = f"{summary.frames - summary.resumed} of " if summary.resumed else ""
    pace = f"{of}{summary.frames} frames in {summary.seconds:.1f} s, {summary.fps:.1f} fps"
    reporter.note(f"{pace}: {', '.join(summary.outputs)}")
    if messages.json:
        typer.echo(json.dumps(summary._asdict() | ({} if score is None else {"score": score})))


def segment_many(
    task: Segmentation, options: SegmentOptions, engine: EngineOptions, messages: Messages
) -> None:
    """Several videos, and what became of each.

    Raises:
        InputError: none of them can be begun.
        RunError: some failed; the others are done.
    """
    from spvos_cli.batch.api import segment_videos
    from spvos_cli.batch.board import show_table
    from spvos_cli.batch.naming import expand
    from spvos_cli.ui import Reporter

    reporter = Reporter(quiet=messages.quiet)
    given = {name: getattr(group, name) for group in (options, engine) for name in given_fields(group)}
    with open(os.devnull, "w") as nowhere, contextlib.ExitStack() as stack:
        if task.cluster:  # Ray tells on stdout of workers that died, which the reporter does
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        summary = segment_videos(
            task.jobs or [{"input": text} for text in expand(task.input)],
            task.output,
            mask_dir=task.mask_dir,
            workers=task.workers,
            cluster=task.cluster,
            reporter=reporter,
            **given,
        )
    show_table(summary, reporter)
    if messages.json:
        typer.echo(json.dumps(summary.to_json()))
    failed = [result for result in summary.videos if result.reason]
    for result in failed if messages.quiet else ():
        typer.echo(f"spvos: {result.where}: {result.reason}", err=True)
    if failed and not any(result.tries or result.summary for result in summary.videos):
        found, fix = "no video can be begun", "see the lines above"
        raise InputError(task.jobs or "INPUT", found=found, expected="one at least", fix=fix)
    if failed:
        raise RunError(f"{len(failed)} of {len(summary.videos)} videos failed")


def check(task: Segmentation, messages: Messages) -> None:
    """Whether there is something to do, and one place for each thing.

    Raises:
        InputError: there is none.
    """
    if task.demo and len(task.output) > 1:
        found = f"{len(task.output)} outputs"
        raise InputError("--demo", found=found, expected="one folder, which gets all", fix="-o FOLDER")
    if not task.demo and not task.input and task.jobs is None:
        expected, fix = "a video and a mask, or --demo", "spvos segment INPUT --mask MASK"
        raise InputError("spvos segment", found="no INPUT", expected=expected, fix=fix)
    if messages.json and "-" in task.output:
        found = "standard output is an output already"
        raise InputError("--json", found=found, expected="one of the two", fix="-o FILE")


segment_command = typer_command(segment, USES)
