"""`train`: datasets in, weights out, with their score on what training did not see."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch.utils.data import Dataset

from spvos_cli.benchmark.in_memory import evaluate
from spvos_cli.data.clips import ClipDataset, Recipe
from spvos_cli.data.folders import Sequence
from spvos_cli.data.lite_clips import LiteClips
from spvos_cli.data.paper_clips import PaperClips
from spvos_cli.data.streams import Streams
from spvos_cli.data.training_sets import TrainingData, training_data
from spvos_cli.distributed import local_device, processes
from spvos_cli.errors import InputError
from spvos_cli.evaluation.scores import global_scores
from spvos_cli.inference.machine import choose_device, choose_dtype, use_threads
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.model.checkpoint import build_model, load_checkpoint
from spvos_cli.training.metrics import Metrics
from spvos_cli.training.options import TrainOptions
from spvos_cli.training.start import freeze, start_network
from spvos_cli.training.state import NAME, read_state, restore
from spvos_cli.training.streams.stream_loss import stream_loss
from spvos_cli.training.trainer import Reports, Row, Trainer
from spvos_cli.ui import Reporter


def train(
    dataset: str | None,
    data: list[Path],
    out: Path,
    options: TrainOptions,
    *,
    model: str = "lite",
    overrides: Mapping[str, str | bool] | None = None,
    init: list[Path] | None = None,
    pretrained: str | None = None,
    teacher: Path | None = None,
    resume: bool = False,
    year: int = 2016,
    device: str = "auto",
    dtype: str = "auto",
    threads: int | None = None,
    workers: int = 1,
    save_every: int = 500,
    tensorboard: bool = False,
    reporter: Reporter | None = None,
) -> dict[str, float]:
    """Trains a network and scores it on what was held out. Under torchrun, with all processes.

    Args:
        dataset: names or folders with weights, "davis:3,stills:2"; None: `data` are annotated frames of one's
            own.
        data: the folder of each dataset, in the same order.
        out: gets checkpoint.pt, weights.safetensors, best.safetensors, metrics.jsonl and curve.png.
        options: the recipe; a resumed run has its own.
        model: "lite" or "spvos".
        overrides: method, structure, gate_all and strategy of `ModelConfig`, where they are not the model's
            own or those of `init`; gates that are not in `init` start by computing everything.
        init: weights to start from instead of fresh ones; several: their mean.
        pretrained: for the paper's network, ImageNet weights: "download", or a folder with torchvision's
            files.
        teacher: weights whose decoder says what the decoder shall say with gates, where it learns beside them
            (`stream` with `learn` at "gated"); None: those that training starts from.
        resume: continue the run in `out`.
        year: of DAVIS's list and masks, 2016 or 2017.
        device, dtype, threads: as in `EngineOptions`; fp16 on GPUs only.
        workers: processes that make clips, for each process that trains.
        save_every: iterations between checkpoints.
        tensorboard: whether figures go to a TensorBoard folder as well.

    Returns:
        The official columns (J&F-Mean, ...) over the held-out sequences, as fractions, of the best weights;
        and "J&F-Start", before training, where it started from weights. Empty where nothing was held out.

    Raises:
        InputError: data, weights or run are not there, or `out` holds a run already.
        RunError: the run cannot go on; its checkpoint can.
    """
    reporter = reporter or Reporter(quiet=True)
    use_threads(threads)
    place = local_device(choose_device(device))
    arithmetic = choose_dtype(dtype, place)
    state = read_state(out) if resume else None
    if state is None and (out / NAME).exists():
        raise InputError(
            out,
            found="a run is there already",
            expected="a new folder",
            fix="--resume to continue it, or --out DIR",
        )
    options = state["options"] if state else options
    chosen = training_data(dataset, data, options.held_out, year)
    with processes(place) as group:
        if not group.first:
            reporter = Reporter(quiet=True)
        torch.manual_seed(options.seed)
        network = (
            build_model(state["config"])
            if state
            else start_network(model, init or [], overrides or {}, pretrained)
        )
        freeze(network, train_trunk=options.train_trunk, learn=options.learn)
        if teacher is not None and (options.recipe, options.learn) != ("stream", "gated"):
            found = f"--recipe {options.recipe} --learn {options.learn}"
            raise InputError(
                "--teacher",
                found=found,
                expected="a decoder that learns from one",
                fix="--recipe stream --learn gated",
            )
        loss = stream_loss(network, options, group, teacher) if options.recipe == "stream" else None
        trainer = Trainer(network, options, out, device=place, dtype=arithmetic, processes=group, loss=loss)
        if state:
            restore(trainer, state)
        return run(
            trainer,
            chosen,
            workers,
            save_every,
            reporter,
            merge=year == 2016,
            tensorboard=tensorboard,
            started=bool(init),
        )


def run(
    trainer: Trainer,
    data: TrainingData,
    workers: int,
    save_every: int,
    reporter: Reporter,
    *,
    merge: bool,
    tensorboard: bool,
    started: bool,
) -> dict[str, float]:
    """Trains to the end, with what is said and written meanwhile; see `train`."""
    group = trainer.processes
    metrics = Metrics(trainer.folder, trainer.iteration, tensorboard=tensorboard) if group.first else None

    def log(row: Row) -> None:
        reporter.note("  ".join(f"{name} {value:.5g}" for name, value in row.items()))
        if metrics:
            metrics.add(row)

    def score() -> Row:
        row = score_held_out(trainer, data, merge=merge) if group.first else {}
        group.wait()
        if row:
            log({"iteration": trainer.iteration, **row})
        return row

    describe(trainer, data, reporter)
    clips = training_clips(trainer, data)
    before: Row = {}
    if started and trainer.iteration == 0 and data.held_out:
        trainer.save()
        before = score()
        trainer.keep_best(before)
    reports = Reports(log, score=score if data.held_out else None, save_every=save_every)
    try:
        trainer.run(clips, workers, reports)
        after = score() if data.held_out and trainer.iteration else dict(before)
        trainer.keep_best(after)
    finally:
        if metrics:
            metrics.draw()
    if before:
        after["J&F-Start"] = before["J&F-Mean"]
    return after


def training_clips(trainer: Trainer, data: TrainingData) -> Dataset:
    """As many clips as the run takes, or stretches of streams.

    Raises:
        InputError: streams, and no video.
    """
    options = trainer.options
    if options.recipe == "stream":
        videos = of_videos(data)
        stretch, slots = trainer.network.config.mem_every, options.batch_size
        return Streams(videos, stretch, options.side, options.seed, slots, options.iterations)
    length = options.iterations * options.batch_size
    return ClipDataset(data.collections, clip_recipe(options), options.seed, length)


def of_videos(data: TrainingData) -> list[tuple[float, list[Sequence]]]:
    """The collections without stills, and none that is empty.

    Raises:
        InputError: nothing is left.
    """
    videos = [(weight, [s for s in found if len(s.frames) > 1]) for weight, found in data.collections]
    videos = [(weight, found) for weight, found in videos if found]
    if not videos:
        raise InputError(
            "--recipe stream",
            found="nothing but stills",
            expected="videos",
            fix="--dataset davis, or other data",
        )
    return videos


def clip_recipe(options: TrainOptions) -> Recipe:
    """How the options' clips are made."""
    if options.recipe == "paper":
        return PaperClips(options.frames, options.side)
    return LiteClips(
        frames=options.frames,
        side=options.side,
        max_gap=options.max_gap,
        sparse_gap=options.sparse_gap,
        sparse_motion=options.sparse_motion,
    )


def describe(trainer: Trainer, data: TrainingData, reporter: Reporter) -> None:
    """One line about what is trained on what."""
    parts = [f"{len(sequences)} sequences (weight {weight:g})" for weight, sequences in data.collections]
    config, group = trainer.network.config, trainer.processes
    gates = "" if config.method == "dense" else f" in {config.structure}, {config.strategy}"
    many = f", {group.world} processes" if group.world > 1 else ""
    held_out = f"{len(data.held_out)} held out"
    reporter.note(
        f"training {config.architecture}, {config.method}{gates}, on {' and '.join(parts)}; {held_out}{many}"
    )


@torch.no_grad()
def score_held_out(trainer: Trainer, data: TrainingData, *, merge: bool) -> Row:
    """The official columns of the averaged weights, as they were last saved."""
    weights = load_checkpoint(trainer.folder / "weights.safetensors")
    network = weights.for_inference(trainer.device, torch.float32)
    results = evaluate(
        data.held_out, lambda: VideoSegmenter(network), merge_objects=merge, all_frames=data.all_frames
    )
    return global_scores([score for result in results for score in result.objects.values()])
