"""From segments of streams to the loss of the gates: the network follows objects as at test time, on masks
that its own gates left it with. The decoder itself can learn beside its gates: to say with them what it said
before there were any."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spvos_cli.distributed import Processes
from spvos_cli.errors import InputError
from spvos_cli.inference.stream import State
from spvos_cli.model.checkpoint import load_checkpoint
from spvos_cli.model.network import VOSNetwork
from spvos_cli.training.density import annealed_target
from spvos_cli.training.options import StreamOptions
from spvos_cli.training.position import StepPosition
from spvos_cli.training.seeding import seeded_generator
from spvos_cli.training.streams.learning_stream import LearningStream
from spvos_cli.training.streams.module_stream import ModuleLearningStream
from spvos_cli.training.streams.policy_costs import PolicyCosts
from spvos_cli.training.streams.price import Price


class StreamLoss(nn.Module):
    """Of a batch of segments, each of which goes on where the one before it in its stream ended.

    Args:
        network: whose decoder's gates learn, and where `options.learn` is "gated" the rest of the decoder.
        options: the recipe.
        dtype: of the network's arithmetic.
        processes: that share the streams.
        teacher: what that rest learns from; None: what it is now.
    """

    def __init__(
        self,
        network: VOSNetwork,
        options: StreamOptions,
        dtype: torch.dtype = torch.float32,
        processes: Processes | None = None,
        teacher: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.network, self.options, self.dtype = network, options, dtype
        self.processes = processes or Processes()
        self.price = Price()
        self.teacher: nn.Module | None = None
        if options.learn == "gated":
            self.teacher = copy.deepcopy(teacher or network.decoder).eval().requires_grad_(False)
        self.streams: dict[int, LearningStream | ModuleLearningStream] = {}

    def forward(
        self, frames: Tensor, ids: Tensor, starts: Tensor, position: StepPosition
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of this process's part of a batch; its mean over the processes is the batch's.

        Args:
            frames: (B, T, 3, S, S) uint8, ids: (B, S, S) uint8, starts: (B,) bool.
            position: of the run, and of these segments in the whole batch.

        Returns:
            The loss, and figures for the log.
        """
        steps: list[PolicyCosts] = []
        distances: list[Tensor] = []
        for number, segment, first, new in zip(position.clips, frames, ids, starts.tolist(), strict=True):
            stream = self._stream(number, position.iteration, new=new)
            given = {i: (first == i).float() for i in first.unique().tolist() if i} if new else None
            for frame in segment:
                stream.step(frame / 255, given)
                given = None
            steps += stream.steps
            distances.append(torch.stack(stream.distances).mean())
            stream.end_segment()
        target = annealed_target(self.options.target, position.progress, self.options.anneal)
        loss, density = self.price(steps, target, self.processes)
        distance = torch.stack(distances).mean()
        figures = {"regret": loss.detach(), "density": density, "distance": distance.detach()}
        return loss if self.teacher is None else loss + distance, figures

    def get_extra_state(self) -> dict[int, tuple[dict[str, Tensor], dict[str, Any]]]:
        """Where the streams of this process stand, between two steps; part of `state_dict`."""
        states = {number: learning.stream.state() for number, learning in self.streams.items()}
        return {number: (state.tensors, state.facts) for number, state in states.items()}

    def set_extra_state(self, state: dict[int, tuple[dict[str, Tensor], dict[str, Any]]]) -> None:
        """Goes on from there; exactly so where memory frames are dense, for the next frame is one."""
        for number in state.keys() & set(self.processes.share(self.options.batch_size)):
            self._new_stream(number).stream.restore(State(*state[number]))

    def _stream(self, number: int, iteration: int, *, new: bool) -> LearningStream | ModuleLearningStream:
        learning = self._new_stream(number) if new else self.streams[number]
        learning.generator = seeded_generator(self.options.seed, number, iteration)
        return learning

    def _new_stream(self, number: int) -> LearningStream | ModuleLearningStream:
        self.streams[number] = (
            LearningStream(self.network, self.dtype, self.teacher)
            if self.network.gate is None
            else ModuleLearningStream(self.network, self.dtype)
        )
        return self.streams[number]


def stream_loss(
    network: VOSNetwork,
    options: StreamOptions,
    dtype: torch.dtype,
    processes: Processes,
    teacher: Path | None,
) -> StreamLoss:
    """Of a network whose decoder alone has gates.

    Args:
        teacher: weights of a network of the same shape, whose decoder teaches; None: the network's own.

    Raises:
        InputError: it has others, or more than its decoder shall learn, or the teacher has another shape.
    """
    if options.learn == "all":
        fix = "--learn gates, or --learn gated"
        raise InputError(
            "--learn all", found="--recipe stream", expected="gates, or the decoder with its gates", fix=fix
        )
    if network.gate is not None:
        if options.learn != "gates":
            fix = "--learn gates"
            raise InputError(f"--learn {options.learn}", found="--gate module", expected=fix, fix=fix)
        return StreamLoss(network, options, dtype, processes)
    if network.carries_hidden:
        found = f"the {network.config.architecture} network, whose hidden states its gates would not follow"
        raise InputError(
            "--recipe stream", found=found, expected="--gate module, or --recipe paper", fix="--gate module"
        )
    if network.gated_parts != "D":
        found = f"gates in {network.gated_parts}"
        raise InputError(
            "--recipe stream", found=found, expected="gates in the decoder alone", fix="--sparse D"
        )
    decoder = teaching_decoder(teacher, network) if teacher else None
    return StreamLoss(network, options, dtype, processes, decoder)


def teaching_decoder(teacher: Path, network: VOSNetwork) -> nn.Module:
    """The decoder in weights, which takes what the network's own takes; see `stream_loss`."""
    teaching = load_checkpoint(teacher)
    found, expected = (
        f"{c.architecture}, decoder {c.decoder_channels}, values {c.value_channels}"
        for c in (teaching.config, network.config)
    )
    if found != expected:
        raise InputError(teacher, found=found, expected=expected, fix="--teacher FILE")
    return teaching.decoder
