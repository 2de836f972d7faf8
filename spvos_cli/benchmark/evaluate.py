"""`eval --dataset`: segment, score, and tell."""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import torch

from spvos_cli.benchmark.compare import deliver_comparison
from spvos_cli.benchmark.datasets import Benchmark, BenchmarkVideo
from spvos_cli.benchmark.outcome import Outcome, Task
from spvos_cli.benchmark.record import RunFolder, run_settings
from spvos_cli.benchmark.segment import own_share, segment_videos
from spvos_cli.distributed import Processes, local_device, processes
from spvos_cli.errors import InputError
from spvos_cli.evaluation.colours import true_masks
from spvos_cli.evaluation.label_maps import LabelImages
from spvos_cli.evaluation.pairs import Pair, SequenceScores
from spvos_cli.evaluation.report.deliver import Outputs
from spvos_cli.evaluation.report.pictures import PICTURES, Picture, worst_frames
from spvos_cli.evaluation.report.results import Evaluation, SequenceRun, density, frames_per_second
from spvos_cli.evaluation.run import score_all
from spvos_cli.files import atomic_path
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.processors import default_threads
from spvos_cli.ui import Reporter


class Share(NamedTuple):
    """One process's part of an outcome."""

    runs: dict[str, SequenceRun]
    scored: list[SequenceScores]
    pictures: list[Picture]


def evaluate_benchmark(
    task: Task, outputs: Outputs, reporter: Reporter, compare: tuple[str, ...] = ()
) -> None:
    """Segments and scores with one network, or with each of several methods; under torchrun with all
    processes, of which the first one tells.

    Args:
        compare: methods.

    Raises:
        InputError: the weights or a file of the benchmark cannot be used, or nothing can be scored.
    """
    task = task._replace(pictures=PICTURES if outputs.report else 0)
    with processes(torch.device("cpu")) as group:
        if not group.first:
            reporter = Reporter(quiet=True)
        methods = compare or (task.engine.method,)
        tasks = [task._replace(engine=dataclasses.replace(task.engine, method=method)) for method in methods]
        outcomes = [run_benchmark(each, group, reporter) for each in tasks]
        if not group.first:
            return
    if task.benchmark.submission:
        write_submissions(task.benchmark, outcomes, reporter)
    if not task.benchmark.has_truth:
        reporter.note("no true masks for these frames: nothing is scored here")
        if outputs.as_json:
            print(json.dumps([unscored_summary(outcome) for outcome in outcomes]))
    elif compare:
        deliver_comparison(dict(zip(compare, outcomes, strict=True)), outputs, reporter)
    else:
        (outcome,) = outcomes
        outputs = outputs._replace(csv=outputs.csv or outcome.folder)
        outputs.deliver(outcome.evaluation, outcome.pictures, outcome.shown_settings, reporter)


def unscored_summary(outcome: Outcome) -> dict[str, Any]:
    """What there is to say without true masks."""
    runs = list(outcome.evaluation.runs.values())
    return {
        "frames": sum(run.frames for run in runs),
        "fps": frames_per_second(runs),
        "reused": [name for name, run in outcome.evaluation.runs.items() if run.reused],
        "density": density(runs),
        "masks": str(outcome.folder / "masks"),
    }


def run_benchmark(task: Task, group: Processes, reporter: Reporter) -> Outcome:
    """Segments and scores; each process its share of the sequences, and all get the whole outcome.

    Raises:
        InputError: the weights or a file of the benchmark cannot be used.
    """
    benchmark, engine = task.benchmark, shared_machine(task.engine)
    if engine.mem_every is None:
        engine = dataclasses.replace(engine, mem_every=benchmark.mem_every)
    segmenter = engine.segmenter(reporter)
    title = f"{benchmark.title}, memory every {segmenter.mem_every} frames"
    reporter.note(title)
    settings = run_settings(segmenter, engine)
    folder = RunFolder(task.out, benchmark, settings, fresh=task.fresh)
    videos = own_share(benchmark.videos, group)
    runs = segment_videos(videos, benchmark, segmenter, folder, reporter)
    pairs = [pair_of(video, folder.masks) for video in videos] if benchmark.has_truth else []
    scored = score_all(pairs, task.protocol, engine.threads, reporter)
    images = {video.name: {file.stem: file for file in video.frames} for video in videos}
    shown = worst_frames(pairs, scored, images, task.pictures, merge=task.protocol.merge_objects)
    whole = join_shares(benchmark, group.gather(Share(runs, scored, shown)))
    evaluation = Evaluation(title, task.protocol.describe(), whole.scored, (), whole.runs, benchmark.groups)
    return Outcome(evaluation, whole.pictures[: task.pictures], settings, folder.path)


def join_shares(benchmark: Benchmark, shares: list[Share]) -> Share:
    """All processes' parts, in the benchmark's order; pictures by their scores."""
    runs = {name: run for share in shares for name, run in share.runs.items()}
    scored = {each.name: each for share in shares for each in share.scored}
    names = [video.name for video in benchmark.videos]
    pictures = sorted((p for share in shares for p in share.pictures), key=lambda p: p.j + p.f)
    ordered = {name: runs[name] for name in names}
    return Share(ordered, [scored[name] for name in names if name in scored], pictures)


def pair_of(video: BenchmarkVideo, masks: Path) -> Pair:
    """The true masks, and those written for the same frames."""
    written = {frame: masks / video.name / f"{frame}.png" for frame in video.masks}
    return Pair(true_masks(video.name, video.masks), LabelImages(video.name, written), ids_agree=True)


def shared_machine(engine: EngineOptions) -> EngineOptions:
    """With this process's GPU, and its part of the processors, where torchrun started several on a
    machine."""
    many = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if torch.cuda.is_available() and engine.device != "cpu":
        torch.cuda.set_device(local_device(torch.device("cuda")))
    threads = engine.threads or max(1, default_threads() // many)
    return dataclasses.replace(engine, threads=threads)


def write_submissions(benchmark: Benchmark, outcomes: list[Outcome], reporter: Reporter) -> None:
    """Beside each outcome's masks a zip of Annotations/SEQUENCE/FRAME.png, as YouTube-VOS's server takes it.

    Raises:
        InputError: masks of other processes are not in this folder.
    """
    for outcome in outcomes:
        target = outcome.folder / "submission.zip"
        try:
            with atomic_path(target) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
                for name in (f"{v.name}/{frame}.png" for v in benchmark.videos for frame in sorted(v.kept)):
                    archive.write(outcome.folder / "masks" / name, f"Annotations/{name}")
        except FileNotFoundError as error:
            found = f"no {error.filename}"
            raise InputError(
                outcome.folder,
                found=found,
                expected="all masks",
                fix="--out on a disk that all machines share",
            ) from error
        reporter.note(f"submission: {target}")
