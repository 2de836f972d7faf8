"""The training loop: clips in, checkpoints and weights out."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from spvos_cli.data.clips import ClipKey
from spvos_cli.distributed import Processes
from spvos_cli.errors import RunError, Terminated
from spvos_cli.model.checkpoint import save_weights
from spvos_cli.model.network import Network
from spvos_cli.training.base_options import Phase, TrainOptions
from spvos_cli.training.batches import load_batches
from spvos_cli.training.learner import Figures, Learner, NotFiniteError
from spvos_cli.training.parameters import learning_trunk
from spvos_cli.training.position import StepPosition
from spvos_cli.training.reports import Reports, Row
from spvos_cli.training.schedule import rate_share
from spvos_cli.training.signals import noted_signals
from spvos_cli.training.state import RunState, write_state
from spvos_cli.training.time_limit import TimeLimit

NEARLY = 1e-9  # progress that rounding may take from a run that is over


class Trainer:
    """A run: network, running average, optimiser and position, all of which a checkpoint holds.

    Args:
        network: what to train; parameters that do not require a gradient stay as they are.
        options: the recipe.
        folder: where checkpoint.pt, weights.safetensors and best.safetensors go.
        loss: takes a batch and a `StepPosition`, gives the loss and figures for the log.
        device, dtype: where and in what arithmetic the network runs; weights and losses stay float32.
        processes: that share the batches.
        source: what the run began with, as it is written to checkpoints.

    Attributes:
        clips: taken so far, over all processes.
        hurried: progress that a time limit has added to that of the iterations.
        best: the highest score so far, -1 before the first.
    """

    def __init__(
        self,
        network: Network,
        options: TrainOptions,
        folder: Path,
        *,
        loss: nn.Module,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        processes: Processes | None = None,
        source: dict[str, Any] | None = None,
    ) -> None:
        self.options, self.folder, self.device = options, folder, device
        self.processes, self.source = processes or Processes(), source or {}
        self.phases = options.phases()
        self.learner = Learner(network, options, loss, device, dtype, self.processes)
        self.check_every = 10 if device.type == "cuda" else 1  # steps from one wait for the GPU to the next
        self.trunk = learning_trunk(network)
        self.clips, self.hurried, self.best = 0, 0.0, -1.0
        self._rows: list[Figures] = []
        self._logged = time.perf_counter()

    @property
    def network(self) -> Network:
        """What is trained."""
        return self.learner.network

    @property
    def result(self) -> Network:
        """What is scored and written."""
        return self.learner.result

    @property
    def loss(self) -> nn.Module:
        """As given; among several processes the same within DDP."""
        return self.learner.loss

    @property
    def iteration(self) -> int:
        """Optimiser steps so far."""
        return self.learner.iteration

    @property
    def progress(self) -> float:
        """Of the run, in [0, 1]."""
        return self._progress_at(self.iteration)

    @property
    def phase(self) -> Phase:
        """The part of the run that the next step belongs to."""
        return next((phase for phase in self.phases if self.progress < phase.end), self.phases[-1])

    @property
    def finished(self) -> bool:
        """Whether the run is at its end."""
        return self.progress > 1 - NEARLY

    def run(
        self, dataset: Dataset[Any], workers: int, reports: Reports, limit: TimeLimit | None = None
    ) -> None:
        """Trains to the end. Signals stop it after the step that is going on, with a checkpoint.

        Args:
            dataset: items by `ClipKey`.
            workers: processes that make them; 0: this one does.
            limit: on the time that it takes.

        Raises:
            RunError: the loss is not finite, or a process that makes clips died; there is a checkpoint.
            Terminated, KeyboardInterrupt: SIGTERM or SIGINT came.
        """
        if self.iteration == 0:
            self.save()
        self._logged = time.perf_counter()
        try:
            with noted_signals() as received:
                while not self.finished:
                    self._run_phase(dataset, workers, reports, limit, received)
        except (RuntimeError, EOFError, ConnectionError) as error:
            if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
                raise
            reason = (str(error) or "a DataLoader worker died").splitlines()[0].rstrip(".")
            advice = "--resume goes on from the checkpoint; --workers 0 makes clips in the process itself"
            raise RunError(f"{self.folder}: {reason}; {advice}") from error

    def _run_phase(
        self,
        dataset: Dataset[Any],
        workers: int,
        reports: Reports,
        limit: TimeLimit | None,
        received: list[int],
    ) -> None:
        phase = self.phase
        for parameter in self.trunk:
            parameter.requires_grad_(phase.trunk)
        self.learner.choose_engine()
        batches = load_batches(dataset, self._keys(phase), workers, self.device)
        with self.learner.distributed(), closing(batches):
            for batch in batches:
                self._rows.append(self.step(*batch))
                if limit:
                    self._hurry(limit)
                self._report(reports, received)
                if self.finished or self.phase != phase:
                    return

    def _keys(self, phase: Phase) -> Iterator[list[ClipKey]]:
        """Of this process's clips in the steps that are left of a phase. May be asked some steps ahead."""
        iteration, clips, share = self.iteration, self.clips, self.processes.share(phase.batch_size)
        while (progress := self._progress_at(iteration)) < min(phase.end, 1 - NEARLY):
            yield [ClipKey(clips + i, progress) for i in share]
            iteration, clips = iteration + 1, clips + phase.batch_size

    def _progress_at(self, iteration: int) -> float:
        if self.options.iterations == 0:
            return 1.0
        return min(1.0, iteration / self.options.iterations + self.hurried)

    def _hurry(self, limit: TimeLimit) -> None:
        """Adds what is lacking of the progress that the time limit wants for the step that was."""
        before = self._progress_at(self.iteration - 1)
        wanted = self.processes.from_first((1 - before) * limit.share_taken())
        self.hurried += max(0.0, wanted - 1 / self.options.iterations)

    def _report(self, reports: Reports, received: list[int]) -> None:
        """Logs, saves, scores and stops where it is time for it, after a step."""
        last = self.finished
        checked = last or self.iteration % self.check_every == 0
        stopping = checked and self.processes.any(bool(received), self.device)
        if checked and self.check_every > 1:
            with self._saved_where_not_finite():
                self.learner.check()
        if last or self.iteration % reports.every == 0:
            reports.log(self._take_row())
        if last or stopping or self.iteration % reports.save_every == 0:
            self.save()
        reports.advance(self.progress)
        if stopping:
            raise KeyboardInterrupt if signal.SIGINT in received else Terminated
        every = self.options.eval_every
        if reports.score and every and self.iteration % every == 0 and not last:
            self.save()
            self.keep_best(reports.score())

    def _take_row(self) -> Row:
        """Means over the steps since the last row, and over the processes."""
        seconds = (time.perf_counter() - self._logged) / len(self._rows)
        mean = {n: torch.stack([row[n] for row in self._rows]).double().mean().item() for n in self._rows[0]}
        self._rows, self._logged = [], time.perf_counter()
        return {"iteration": self.iteration, **self.processes.mean(mean), "seconds": seconds}

    def step(self, *batch: Tensor) -> Figures:
        """One optimiser step on this process's clips: what the loss takes, a row for each clip.

        Raises:
            RunError: the loss is not finite; see `Learner.step`.
        """
        clips = self.phase.batch_size
        position = StepPosition(self.iteration, self.progress, self.processes.share(clips))
        rate = self.options.learning_rate * rate_share(self.options, self.progress)
        with self._saved_where_not_finite():
            figures = self.learner.step(batch, position, rate)
        self.clips += clips
        return figures

    @contextmanager
    def _saved_where_not_finite(self) -> Iterator[None]:
        try:
            yield
        except NotFiniteError as error:
            self.save()
            advice = "--resume with a smaller --learning-rate goes on from the checkpoint before it"
            found = f"the loss is not finite at iteration {self.iteration}"
            raise RunError(f"{self.folder}: {found}; {advice}") from error

    def keep_best(self, row: Row) -> None:
        """Copies the weights to best.safetensors where their score is the highest so far."""
        score = self.options.score
        if row.get(score, -1.0) > self.best and self.processes.first:
            self.best = row[score]
            save_weights(self.result, self.folder / "best.safetensors")

    def save(self) -> None:
        """Writes checkpoint.pt (to resume) and weights.safetensors (`result`). The first process writes,
        and all have to call it."""
        state = self.state()
        if self.processes.first:
            write_state(self.folder, RunState(self.network.config, self.options, self.source, state))
            save_weights(self.result, self.folder / "weights.safetensors")
        self.processes.wait()

    def state(self) -> dict[str, Any]:
        """All that `restore` needs."""
        own = {"clips": self.clips, "hurried": self.hurried, "best": self.best}
        return {**self.learner.state(), **own}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where the state stands."""
        self.learner.restore(state)
        self.clips, self.hurried, self.best = state["clips"], state["hurried"], state["best"]
