"""The training loop: clips in, checkpoints and weights out."""

from __future__ import annotations

import copy
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, default_collate

from spvos_cli.distributed import Processes
from spvos_cli.errors import RunError, Terminated
from spvos_cli.model.checkpoint import save_weights
from spvos_cli.model.network import VOSNetwork
from spvos_cli.sparse.gate_base import Gate
from spvos_cli.training.clips.clip_loss import ClipLoss
from spvos_cli.training.options import TrainOptions
from spvos_cli.training.schedule import rate_share
from spvos_cli.training.state import write_state

Row = dict[str, float]


class Reports(NamedTuple):
    """What happens beside training.

    Attributes:
        log: takes the figures of some iterations; every: of how many.
        score: the score of the weights so far, by name; None: only trained.
        save_every: iterations between checkpoints.
    """

    log: Callable[[Row], None]
    every: int = 100
    score: Callable[[], Row] | None = None
    save_every: int = 500


class Trainer:
    """A run: network, running average, optimiser and position, all of which a checkpoint holds.

    Args:
        network: what to train; parameters that do not require a gradient stay as they are.
        options: the recipe.
        folder: where checkpoint.pt, weights.safetensors and best.safetensors go.
        device, dtype: where and in what arithmetic the network runs; weights and losses stay float32.
        processes: that share the batches.
        loss: takes a batch, the iteration and the clips' numbers; None: a `ClipLoss`.
    """

    def __init__(
        self,
        network: VOSNetwork,
        options: TrainOptions,
        folder: Path,
        *,
        device: torch.device,
        dtype: torch.dtype,
        processes: Processes,
        loss: nn.Module | None = None,
    ) -> None:
        self.options, self.folder, self.device, self.processes = options, folder, device, processes
        self.network = network.train().to(device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(network).eval().requires_grad_(False)
        self.objective = (loss or ClipLoss(network, options, dtype, processes)).to(device)
        self.loss: nn.Module = self.objective
        self.optimizer = torch.optim.AdamW(parameter_groups(network, options))
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self.iteration = 0
        self.best = -1.0

    def run(self, clips: Dataset, workers: int, reports: Reports) -> None:
        """Trains to the last iteration. Signals stop it after the step that is going on, with a checkpoint.

        Raises:
            RunError: the loss is not finite, or a process that makes clips died; there is a checkpoint.
            Terminated, KeyboardInterrupt: SIGTERM or SIGINT came.
        """
        if self.iteration == 0:
            self.save()
        try:
            self._run(clips, workers, reports)
        except (RuntimeError, EOFError, ConnectionError) as error:
            if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
                raise
            reason = (str(error) or "a DataLoader worker died").splitlines()[0].rstrip(".")
            advice = "--resume goes on from the checkpoint; --workers 0 makes clips in the process itself"
            raise RunError(f"{self.folder}: {reason}; {advice}") from error

    def _run(self, clips: Dataset, workers: int, reports: Reports) -> None:
        rows, start = [], time.perf_counter()
        with self._shared_loss(), _signals() as received:
            for batch in self._batches(clips, workers):
                rows.append(self.step(*batch))
                last, stopping = self.iteration == self.options.iterations, self._agree(bool(received))
                if last or self.iteration % reports.every == 0:
                    seconds = (time.perf_counter() - start) / len(rows)
                    mean = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
                    reports.log(
                        {"iteration": self.iteration, **self.processes.mean(mean), "seconds": seconds}
                    )
                    rows, start = [], time.perf_counter()
                if last or stopping or self.iteration % reports.save_every == 0:
                    self.save()
                if stopping:
                    raise KeyboardInterrupt if signal.SIGINT in received else Terminated
                self._score(reports, last=last)

    @contextmanager
    def _shared_loss(self) -> Iterator[None]:
        """Inside, gradients are means over the processes."""
        if self.processes.world > 1:
            unused = bool(self.network.gated_parts)
            self.loss = DistributedDataParallel(self.objective, find_unused_parameters=unused)
        try:
            yield
        finally:
            # DDP must not be the last to hold the process group: it would end the group with the interpreter
            # locked, and waits for gloo's thread, which may wait for the interpreter to let go of a tensor
            self.loss = self.objective

    def step(self, *batch: Tensor) -> Row:
        """One optimiser step on this process's clips: what the loss takes, a row for each clip.

        Raises:
            RunError: the loss is not finite; the weights are as they were.
        """
        options = self.options
        for group in self.optimizer.param_groups:
            group["lr"] = options.learning_rate * group["share"] * rate_share(options, self.iteration)
        self.optimizer.zero_grad(set_to_none=True)
        row = self._backward(batch)
        self.scaler.unscale_(self.optimizer)
        limit = options.clip_norm or float("inf")
        row["norm"] = nn.utils.clip_grad_norm_(self.network.parameters(), limit).item()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.iteration += 1
        self._update_average()
        return row

    def _backward(self, tensors: tuple[Tensor, ...]) -> Row:
        """Gradients of the batch, part after part; figures are means over the parts."""
        parts, sums = self.options.accumulate, {}
        clips = self.processes.share(self.options.batch_size)
        each = len(clips) // parts
        for part in range(parts):
            here = slice(part * each, (part + 1) * each)
            batch = [x[here].to(self.device, non_blocking=True) for x in tensors]
            waiting = self.processes.world > 1 and part < parts - 1
            with self.loss.no_sync() if waiting else nullcontext():
                loss, figures = self.loss(*batch, self.iteration, clips[here])
                if self._agree(not loss.isfinite()):
                    self._stop_at_bad_loss(loss)
                self.scaler.scale(loss / parts).backward()
            for name, figure in figures.items():
                sums[name] = sums.get(name, 0.0) + figure.item() / parts
        return sums

    def _agree(self, here: bool) -> bool:
        """Whether it is so in any process."""
        return self.processes.sum(torch.tensor(float(here), device=self.device)).item() > 0

    def _stop_at_bad_loss(self, loss: Tensor) -> None:
        self.save()
        advice = "--resume with a smaller --learning-rate goes on from the checkpoint before it"
        raise RunError(f"{self.folder}: the loss is {loss.item()} at iteration {self.iteration}; {advice}")

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.options.average, self.iteration / (9 + self.iteration))
        for mean, value in zip(self.average.parameters(), self.network.parameters(), strict=True):
            if value.requires_grad:
                mean.lerp_(value, 1 - decay)

    def _batches(self, clips: Dataset, workers: int) -> Iterator[tuple[Tensor, ...]]:
        size, share = self.options.batch_size, self.processes.share(self.options.batch_size)
        batches = [[i * size + j for j in share] for i in range(self.iteration, self.options.iterations)]
        loader = DataLoader(
            clips,
            batch_sampler=batches,
            num_workers=workers,
            collate_fn=default_collate,
            worker_init_fn=leave_signals,
            pin_memory=self.device.type == "cuda",
        )
        made = iter(loader)
        if workers and threading.current_thread() is threading.main_thread():
            # torch's handler raises wherever the program stands; without it a dead worker is noticed within
            # seconds, where its clip is waited for
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return made

    def _score(self, reports: Reports, *, last: bool) -> None:
        """Scores the weights where it is time, and keeps the best."""
        every = self.options.eval_every
        due = every and self.iteration % every == 0 and not last
        if reports.score is None or not due:
            return
        self.save()
        self.keep_best(reports.score())

    def keep_best(self, row: Row) -> None:
        """Copies the weights to best.safetensors where their J&F is the highest so far."""
        if row.get("J&F-Mean", -1.0) > self.best and self.processes.first:
            self.best = row["J&F-Mean"]
            save_weights(self.average, self.folder / "best.safetensors")

    def save(self) -> None:
        """Writes checkpoint.pt (to resume) and weights.safetensors (the average)."""
        write_state(self)
        if self.processes.first:
            save_weights(self.average, self.folder / "weights.safetensors")
        self.processes.wait()


def parameter_groups(network: VOSNetwork, options: TrainOptions) -> list[dict]:
    """Weights and the rest, gates apart: with what share of the learning rate, and with what weight decay."""
    gates = {id(p) for module in network.modules() if isinstance(module, Gate) for p in module.parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.requires_grad:
            share = options.gate_rate if id(parameter) in gates else 1.0
            decay = options.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((share, decay), []).append(parameter)
    return [{"params": p, "share": share, "weight_decay": decay} for (share, decay), p in groups.items()]


def leave_signals(worker: int) -> None:
    """In a process that makes clips: signals that go to the whole group are for the process that trains."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """SIGTERM and SIGINT are noted in a list instead of breaking into a step (in a main thread)."""
    received: list[int] = []
    main = threading.current_thread() is threading.main_thread()
    wanted = (signal.SIGTERM, signal.SIGINT) if main else ()
    before = {number: signal.signal(number, lambda n, frame: received.append(n)) for number in wanted}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
