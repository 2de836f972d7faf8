"""One optimiser step, and all that it changes: weights, their running average and the optimiser."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from spvos_cli.distributed import Processes
from spvos_cli.inference.dense_engine import use_engine, use_trunk_engine
from spvos_cli.model.clicks import ClickNetwork
from spvos_cli.model.network import Network, VOSNetwork
from spvos_cli.training.base_options import TrainOptions
from spvos_cli.training.parameters import parameter_groups
from spvos_cli.training.position import StepPosition

Figures = dict[str, Tensor]


class NotFiniteError(ArithmeticError):
    """The loss is not finite."""


class Learner:
    """A network that learns.

    Args:
        network: what to train; parameters that do not require a gradient stay as they are.
        options: the recipe.
        loss: takes a batch and a `StepPosition`, gives the loss and figures for the log.
        device, dtype: where and in what arithmetic the network runs; weights and losses stay float32.
        processes: that share the batches.

    Attributes:
        iteration: optimiser steps so far.
        bad: () bool, whether a loss was not finite; on the device.
        own_loss, loss: as given, and the same within DDP while `distributed`.
    """

    def __init__(
        self,
        network: Network,
        options: TrainOptions,
        loss: nn.Module,
        device: torch.device,
        dtype: torch.dtype,
        processes: Processes,
    ) -> None:
        self.options, self.device, self.dtype, self.processes = options, device, dtype, processes
        self.network = network.train()
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(self.network, multi_avg_fn=self._move_average)
        self.average.n_averaged.fill_(1)  # the weights at the start count as the first
        self.average.eval().requires_grad_(False)
        self.start = copy.deepcopy(self.network.state_dict()) if options.start_share else None
        self.own_loss = loss.to(device)
        self.loss: nn.Module = self.own_loss
        on_gpu = device.type == "cuda"
        self.optimizer = torch.optim.AdamW(parameter_groups(self.network, options), fused=on_gpu)
        self.scaler = make_scaler(device, dtype)
        self.iteration = 0
        self.bad = torch.zeros((), dtype=torch.bool, device=device)

    def choose_engine(self) -> None:
        """A trunk that does not learn runs in OpenVINO on a CPU, if that is there: a step takes 27 % less."""
        threads = torch.get_num_threads()
        if isinstance(self.network, ClickNetwork):
            use_trunk_engine(self.network, self.device, self.dtype, threads)
        if not isinstance(self.network, VOSNetwork) or not self.network.keeps_trunk:
            return
        encoder: Any = self.network.query_encoder
        encoder.trunk_engine = None
        if not any(parameter.requires_grad for parameter in encoder.trunk.parameters()):
            use_engine(self.network, "auto", self.device, self.dtype, threads, learns=True)

    @contextmanager
    def distributed(self) -> Iterator[None]:
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

    def step(self, batch: tuple[Tensor, ...], position: StepPosition, rate: float) -> Figures:
        """One optimiser step.

        Args:
            batch: this process's clips: what the loss takes, a row for each.
            position: of the step in the run.
            rate: the learning rate, of which each group of parameters has its share.

        Raises:
            NotFiniteError: the loss is not finite; the weights are as they were. On a GPU, where asking takes
                long, `check` says so some steps later, which have not changed the weights either.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self.optimizer.zero_grad(set_to_none=True)
        figures = self._backward(batch, position)
        self.scaler.unscale_(self.optimizer)
        limit = self.options.clip_norm or float("inf")
        figures["norm"] = nn.utils.clip_grad_norm_(self.network.parameters(), limit).detach()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.iteration += 1
        self.average.update_parameters(self.network)
        return figures

    def check(self) -> None:
        """Raises NotFiniteError where a loss was not finite in any process."""
        if self.processes.any(bool(self.bad), self.device):
            raise NotFiniteError

    def _backward(self, tensors: tuple[Tensor, ...], position: StepPosition) -> Figures:
        """Gradients of the batch, part after part; figures are means over the parts."""
        parts, sums = self.options.accumulate, dict[str, Tensor]()
        each = len(position.clips) // parts
        for part in range(parts):
            here = slice(part * each, (part + 1) * each)
            batch = [x[here].to(self.device, non_blocking=True) for x in tensors]
            waiting = isinstance(self.loss, DistributedDataParallel) and part < parts - 1
            with self.loss.no_sync() if waiting else nullcontext():  # type: ignore[operator]
                loss, figures = self.loss(*batch, position._replace(clips=position.clips[here]))
                self.bad = self.bad | ~loss.detach().isfinite()
                if self.device.type != "cuda":
                    self.check()
                self.scaler.scale(loss / parts).backward()
            for name, figure in figures.items():
                sums[name] = sums.get(name, torch.zeros_like(figure)) + figure / parts
        return sums

    @property
    def averaged(self) -> Network:
        """The network with the running average of the weights."""
        network = self.average.module
        assert isinstance(network, Network)
        return network

    @property
    def result(self) -> Network:
        """What is scored and written: the running average, mixed with the weights at the start (Wortsman et
        al., Robust fine-tuning of zero-shot models, CVPR 2022)."""
        if self.start is None:
            return self.averaged
        network = copy.deepcopy(self.averaged)
        for name, mixed in network.state_dict().items():
            if mixed.is_floating_point():
                mixed.lerp_(self.start[name], self.options.start_share)
        return network

    def _move_average(self, means: Any, values: Any, count: object) -> None:
        decay = min(self.options.average, self.iteration / (9 + self.iteration))
        torch._foreach_lerp_(means, values, 1 - decay)

    def state(self) -> dict[str, Any]:
        """All that `restore` needs. What a loss holds beside its network is the same in all processes but for
        its modules' extra state, which is each process's own."""
        held = {n: x for n, x in self.own_loss.state_dict().items() if not n.startswith("network.")}
        extra = {name: x for name, x in held.items() if name.endswith("_extra_state")}
        return {
            "iteration": self.iteration,
            "network": self.network.state_dict(),
            "average": self.averaged.state_dict(),
            "start": self.start,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "loss": {name: x for name, x in held.items() if name not in extra},
            "loss_by_process": self.processes.gather(extra),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where the state stands."""
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["average"])
        self.start = state.get("start")
        self.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"] and self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        for held in (state["loss"], *state["loss_by_process"]):
            self.own_loss.load_state_dict(held, strict=False)
        self.iteration = state["iteration"]


def make_scaler(device: torch.device, dtype: torch.dtype) -> torch.amp.GradScaler:
    """Keeps small gradients of float16 above zero. On a GPU it also lets the optimiser leave out a step whose
    gradients are not finite without waiting for the GPU; then it scales by 1 where float16 needs no more."""
    if dtype == torch.float16:
        return torch.amp.GradScaler(device.type)
    never = 2**31 - 1
    return torch.amp.GradScaler(
        device.type, init_scale=1.0, growth_interval=never, enabled=device.type == "cuda"
    )
