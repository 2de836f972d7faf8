"""The training loop: clips in, checkpoints and weights out."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import Dataset

from spvos_cli.data.clips import ClipKey
from spvos_cli.distributed import Processes
from spvos_cli.errors import RunError, Terminated
from spvos_cli.model.checkpoint import save_weights
from spvos_cli.model.network import VOSNetwork
from spvos_cli.training.base_options import Phase, TrainOptions
from spvos_cli.training.batches import load_batches
from spvos_cli.training.parameters import learning_trunk, parameter_groups
from spvos_cli.training.position import StepPosition
from spvos_cli.training.schedule import rate_share
from spvos_cli.training.signals import noted_signals
from spvos_cli.training.state import RunState, write_state
from spvos_cli.training.time_limit import TimeLimit

Row = dict[str, float]
Figures = dict[str, Tensor]
NEARLY = 1e-9  # progress that rounding may take from a run that is over


class Reports(NamedTuple):
    """What happens beside training.

    Attributes:
        log: takes the figures of some iterations; every: of how many.
        score: the score of the weights so far, by name; None: only trained.
        save_every: iterations between checkpoints.
        advance: takes the progress of the run after every iteration.
    """

    log: Callable[[Row], None]
    every: int = 100
    score: Callable[[], Row] | None = None
    save_every: int = 500
    advance: Callable[[float], None] = lambda progress: None


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
        iteration: optimiser steps so far.
        clips: taken so far, over all processes.
        hurried: progress that a time limit has added to that of the iterations.
        best: the highest J&F so far, -1 before the first.
    """

    def __init__(
        self,
        network: VOSNetwork,
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
        self.network = network.train()
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(self.network, multi_avg_fn=self._move_average)
        self.average.n_averaged.fill_(1)  # the weights at the start count as the first
        self.average.eval().requires_grad_(False)
        self.own_loss = loss.to(device)
        self.loss: nn.Module = self.own_loss  # or the same within DDP
        on_gpu = device.type == "cuda"
        self.optimizer = torch.optim.AdamW(parameter_groups(self.network, options), fused=on_gpu)
        self.scaler = make_scaler(device, dtype)
        self.check_every = 10 if on_gpu else 1  # steps from one wait for the GPU to the next
        self.trunk = learning_trunk(self.network)
        self.iteration, self.clips, self.hurried, self.best = 0, 0, 0.0, -1.0
        self._bad = torch.zeros((), dtype=torch.bool, device=device)
        self._rows: list[Figures] = []
        self._logged = time.perf_counter()

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
        batches = load_batches(dataset, self._keys(phase), workers, self.device)
        with self._distributed_loss(), closing(batches):
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
            self._stop_at_bad_loss()
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

    @contextmanager
    def _distributed_loss(self) -> Iterator[None]:
        """Inside, gradients are means over the processes."""
        if self.processes.world > 1:
            unused = bool(self.network.gated_parts)
            self.loss = DistributedDataParallel(self.own_loss, find_unused_parameters=unused)
        try:
            yield
        finally:
            # DDP must not be the last to hold the process group: it would end the group with the interpreter
            # locked, and waits for gloo's thread, which may wait for the interpreter to let go of a tensor
            self.loss = self.own_loss

    def step(self, *batch: Tensor) -> Figures:
        """One optimiser step on this process's clips: what the loss takes, a row for each clip.

        Raises:
            RunError: the loss is not finite; the weights are as they were. On a GPU that is noticed some
                steps later, which have not changed the weights either.
        """
        rate = self.options.learning_rate * rate_share(self.options, self.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self.optimizer.zero_grad(set_to_none=True)
        figures = self._backward(batch)
        self.scaler.unscale_(self.optimizer)
        limit = self.options.clip_norm or float("inf")
        figures["norm"] = nn.utils.clip_grad_norm_(self.network.parameters(), limit).detach()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.clips += self.phase.batch_size
        self.iteration += 1
        self.average.update_parameters(self.network)
        return figures

    def _backward(self, tensors: tuple[Tensor, ...]) -> Figures:
        """Gradients of the batch, part after part; figures are means over the parts."""
        parts, sums = self.options.accumulate, dict[str, Tensor]()
        clips = self.processes.share(self.phase.batch_size)
        each = len(clips) // parts
        for part in range(parts):
            here = slice(part * each, (part + 1) * each)
            batch = [x[here].to(self.device, non_blocking=True) for x in tensors]
            waiting = isinstance(self.loss, DistributedDataParallel) and part < parts - 1
            with self.loss.no_sync() if waiting else nullcontext():  # type: ignore[operator]
                loss, figures = self.loss(*batch, StepPosition(self.iteration, self.progress, clips[here]))
                self._bad = self._bad | ~loss.detach().isfinite()
                if self.check_every == 1:
                    self._stop_at_bad_loss()
                self.scaler.scale(loss / parts).backward()
            for name, figure in figures.items():
                sums[name] = sums.get(name, torch.zeros_like(figure)) + figure / parts
        return sums

    def _stop_at_bad_loss(self) -> None:
        if self.processes.any(bool(self._bad), self.device):
            self.save()
            advice = "--resume with a smaller --learning-rate goes on from the checkpoint before it"
            raise RunError(f"{self.folder}: the loss is not finite at iteration {self.iteration}; {advice}")

    def _move_average(self, means: Any, values: Any, count: object) -> None:
        decay = min(self.options.average, self.iteration / (9 + self.iteration))
        torch._foreach_lerp_(means, values, 1 - decay)

    def keep_best(self, row: Row) -> None:
        """Copies the weights to best.safetensors where their J&F is the highest so far."""
        if row.get("J&F-Mean", -1.0) > self.best and self.processes.first:
            self.best = row["J&F-Mean"]
            save_weights(self.averaged, self.folder / "best.safetensors")

    @property
    def averaged(self) -> VOSNetwork:
        """The network with the running average of the weights."""
        network = self.average.module
        assert isinstance(network, VOSNetwork)
        return network

    def save(self) -> None:
        """Writes checkpoint.pt (to resume) and weights.safetensors (the average). The first process writes,
        and all have to call it."""
        state = self.state()
        if self.processes.first:
            write_state(self.folder, RunState(self.network.config, self.options, self.source, state))
            save_weights(self.averaged, self.folder / "weights.safetensors")
        self.processes.wait()

    def state(self) -> dict[str, Any]:
        """All that `restore` needs. What a loss holds beside its network is the same in all processes but for
        its modules' extra state, which is each process's own."""
        held = {n: x for n, x in self.own_loss.state_dict().items() if not n.startswith("network.")}
        extra = {name: x for name, x in held.items() if name.endswith("_extra_state")}
        return {
            "iteration": self.iteration,
            "clips": self.clips,
            "hurried": self.hurried,
            "best": self.best,
            "network": self.network.state_dict(),
            "average": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "loss": {name: x for name, x in held.items() if name not in extra},
            "loss_by_process": self.processes.gather(extra),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where the state stands."""
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"] and self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        for held in (state["loss"], *state["loss_by_process"]):
            self.own_loss.load_state_dict(held, strict=False)
        self.iteration, self.clips = state["iteration"], state["clips"]
        self.hurried, self.best = state["hurried"], state["best"]


def make_scaler(device: torch.device, dtype: torch.dtype) -> torch.amp.GradScaler:
    """Keeps small gradients of float16 above zero. On a GPU it also lets the optimiser leave out a step whose
    gradients are not finite without waiting for the GPU; then it scales by 1 where float16 needs no more."""
    if dtype == torch.float16:
        return torch.amp.GradScaler(device.type)
    never = 2**31 - 1
    return torch.amp.GradScaler(
        device.type, init_scale=1.0, growth_interval=never, enabled=device.type == "cuda"
    )
