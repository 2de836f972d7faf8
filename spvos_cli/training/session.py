"""`train`: datasets in, weights out, with their score on what training did not see."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import Any

import torch

from spvos_cli.benchmark.clicks import click_columns, click_on
from spvos_cli.benchmark.in_memory import evaluate
from spvos_cli.data.training_sets import TrainingData, training_data
from spvos_cli.distributed import Processes, local_device, processes, world_size
from spvos_cli.errors import InputError
from spvos_cli.evaluation.scores import global_scores
from spvos_cli.inference.clicks import ClickSuggest
from spvos_cli.inference.machine import choose_device, choose_dtype
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.model.checkpoint import build_network
from spvos_cli.model.clicks import ClickNetwork
from spvos_cli.model.network import Network, VOSNetwork
from spvos_cli.training.base_options import TrainOptions
from spvos_cli.training.checks import check_source, check_uses, resumed_options, run_source
from spvos_cli.training.job import TrainingJob
from spvos_cli.training.metrics import Metrics
from spvos_cli.training.parameters import freeze
from spvos_cli.training.recipes import make_dataset, make_loss
from spvos_cli.training.reports import Reports, Row
from spvos_cli.training.start import start_click_network, start_network
from spvos_cli.training.state import NAME, RunState, read_state
from spvos_cli.training.time_limit import TimeLimit
from spvos_cli.training.trainer import Trainer
from spvos_cli.ui import Reporter

MARGIN = 1.5  # times what the first score, checkpoint and curve took is kept for the last ones
SPARE = 3.0  # seconds kept beside that


def train(job: TrainingJob, options: TrainOptions, reporter: Reporter | None = None) -> Row:
    """Trains a network and scores it on what was held out. Under torchrun, with all processes.

    Returns:
        The official columns (J&F-Mean, ...) over the held-out sequences, as fractions, of the last weights,
        or of the network of clicks those of `benchmark.clicks`; and the recipe's score before training
        ("J&F-Start"), where it started from weights. Empty where nothing was held out.

    Raises:
        InputError: data, weights or options cannot be used, or `job.out` holds a run already.
        RunError: the run cannot go on; its checkpoint can.
    """
    if (job.out / NAME).exists():
        raise InputError(
            job.out,
            found="a run is there already",
            expected="a new folder",
            fix="--resume to continue it, or --out DIR",
        )
    return _run(job, options, None, reporter)


def resume(job: TrainingJob, given: Mapping[str, Any], reporter: Reporter | None = None) -> Row:
    """Goes on with the run in `job.out`, exactly where it stood.

    Args:
        given: the recipe and its options as far as they are given again, by name. All have to be the run's
            own but for the iterations, which lengthen or shorten it.

    Returns, raises:
        As `train`.
    """
    state = read_state(job.out)
    return _run(job, resumed_options(state, given, job.out), state, reporter)


def _run(job: TrainingJob, options: TrainOptions, state: RunState | None, reporter: Reporter | None) -> Row:
    limit = None if job.max_minutes is None else TimeLimit(60 * job.max_minutes)
    device = local_device(choose_device(job.device))
    options.check_batches(world_size())
    with processes(device) as group:
        reporter = reporter if reporter and group.first else Reporter(quiet=True)
        return TrainingSession(job, options, state, device, group, reporter).run(limit)


class TrainingSession:
    """A run with its network, its data and what is said and written meanwhile.

    Args:
        job, options: what to train, on what, and how.
        state: where to go on; None: a new run.
        device: where the network is trained.
        group: the processes that train it.
        reporter: of the first process.

    Raises:
        InputError: data, weights or options cannot be used.
    """

    def __init__(
        self,
        job: TrainingJob,
        options: TrainOptions,
        state: RunState | None,
        device: torch.device,
        group: Processes,
        reporter: Reporter,
    ) -> None:
        self.job, self.options, self.group, self.reporter = job, options, group, reporter
        dtype = choose_dtype(job.dtype, device)
        network = build_network(state.config) if state else _new_network(job, options)
        check_uses(job, options, network.config)
        learns_trunk = any(phase.trunk for phase in options.phases())
        freeze(network, train_trunk=learns_trunk, learn=options.learn)
        loss = make_loss(options, network, dtype, group, job.teacher)
        self.data = training_data(job.dataset, list(job.data), options.held_out, job.year or 2016)
        if state:
            check_source(state, job, self.data.digest())
        self.dataset = make_dataset(options, self.data.datasets, network.config)
        self.trainer = Trainer(
            network,
            options,
            job.out,
            loss=loss,
            device=device,
            dtype=dtype,
            processes=group,
            source=state.source if state else run_source(job, self.data.digest()),
        )
        if state:
            self.trainer.restore(state.trainer)
        first = group.first
        self.metrics = (
            Metrics(job.out, self.trainer.iteration, tensorboard=job.tensorboard) if first else None
        )

    def run(self, limit: TimeLimit | None = None) -> Row:
        """Trains to the end; the scores, as `train` gives them."""
        trainer = self.trainer
        self.reporter.note(describe(trainer, self.data))
        before = self._score_start(limit)
        with self.reporter.progress(trainer.options.iterations, "training", "it/s") as show:
            reports = Reports(
                self.log,
                score=self.score if self.data.held_out else None,
                save_every=self.job.save_every,
                advance=lambda progress: show(progress * trainer.options.iterations),
            )
            try:
                trainer.run(self.dataset, self.job.workers, reports, limit)
            finally:
                if self.metrics:
                    self.metrics.draw()
        if limit and trainer.iteration < trainer.options.iterations:
            self.reporter.note(
                f"--max-minutes: the run ended after {trainer.iteration} of {trainer.options.iterations}"
                " iterations, at the end of its schedules"
            )
        after = self.score() if self.data.held_out and trainer.iteration else dict(before)
        trainer.keep_best(after)
        if self.metrics:
            self.metrics.draw()
        if before and self.job.init:
            score = self.options.score
            after[score.removesuffix("-Mean") + "-Start"] = before[score]
        return after

    def _score_start(self, limit: TimeLimit | None) -> Row:
        """The score of the weights that a run starts from, and with a limit how long a score takes."""
        trainer = self.trainer
        new = trainer.iteration == 0
        if not self.data.held_out or not (limit or (new and self.job.init)):
            return {}
        began = time.monotonic()
        trainer.save()
        row = self.score() if new else self.score_held_out()
        trainer.keep_best(row)
        if limit:
            if self.metrics:
                self.metrics.draw()
            limit.reserve = MARGIN * (time.monotonic() - began) + SPARE
        return row if new else {}

    def log(self, row: Row) -> None:
        """Says and writes a row of figures."""
        self.reporter.note("  ".join(f"{name} {value:.5g}" for name, value in row.items()))
        if self.metrics:
            self.metrics.add(row)

    def score(self) -> Row:
        """The score of the averaged weights, which is logged; empty in all processes but the first."""
        row = self.score_held_out()
        if row:
            self.log({"iteration": self.trainer.iteration, **row})
        return row

    @torch.no_grad()
    def score_held_out(self) -> Row:
        """The columns of the averaged weights; empty in all processes but the first, which they
        wait for."""
        row: Row = {}
        if self.group.first:
            row = self._scores(copy.deepcopy(self.trainer.result))
        self.group.wait()
        return row

    def _scores(self, network: Network) -> Row:
        held_out, merge = self.data.held_out, self.data.merge_objects
        if isinstance(network, ClickNetwork):
            suggest = ClickSuggest(network, torch.float32)
            frame = -1 if self.data.all_frames else 0  # of one's own frames the first one is trained on
            return click_columns(list(click_on(held_out, suggest, merge_objects=merge, frame=frame)))
        assert isinstance(network, VOSNetwork)
        network.for_inference(self.trainer.device, torch.float32)
        results = evaluate(
            held_out,
            lambda: VideoSegmenter(network),
            merge_objects=merge,
            all_frames=self.data.all_frames,
        )
        return global_scores([score for result in results for score in result.objects.values()])


def _new_network(job: TrainingJob, options: TrainOptions) -> Network:
    return start_click_network(job, options) if options.recipe == "clicks" else start_network(job, options)


def describe(trainer: Trainer, data: TrainingData) -> str:
    """What is trained on what."""
    parts = [f"{len(sequences)} sequences (weight {weight:g})" for weight, sequences in data.datasets]
    config, group = trainer.network.config, trainer.processes
    scope = "one gate for all" if trainer.network.gate is not None else f"in {config.structure}"
    gates = "" if config.method == "dense" else f", {scope}, {config.strategy}"
    many = f", {group.world} processes" if group.world > 1 else ""
    held_out = f"{len(data.held_out)} held out"
    what = f"{config.architecture}, {config.method}{gates}"
    return f"training {what}, on {' and '.join(parts)}; {held_out}{many}"
