"""Training: gated convolutions that mix their policies, and the record of what they decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.conv_unit import join_channels
from spvos_cli.sparse.gate_base import Noise, Previous
from spvos_cli.training.seeding import seeded_generator

NoiseSource = Callable[[int, int], Noise]  # of a layer's number and its step


class SparseStep(NamedTuple):
    """One sparse step of one layer.

    Attributes:
        conv: the layer.
        computed: (B, 1, H, W), 1 where COMPUTE was chosen and 0 elsewhere, with a gradient.
    """

    conv: SparseConv2d
    computed: Tensor


class GumbelNoise:
    """Standard Gumbel noise that depends on (seed, iteration, clip, layer, step) alone, however clips are
    spread over processes and however often a step is computed.

    Args:
        clips: numbers of the batch's clips; their objects' rows follow each other.
        strength: what the noise is multiplied by.
    """

    def __init__(self, seed: int, iteration: int, clips: Iterable[int], strength: float = 1.0) -> None:
        self.strength = strength
        self.keys = [(seed, iteration, clip) for clip in clips]

    def __call__(self, layer: int, step: int) -> Noise:
        if self.strength == 0:
            return torch.zeros_like
        generators = [seeded_generator(*key, layer, step) for key in self.keys]

        def draw(like: Tensor) -> Tensor:
            shape = (len(like) // len(generators), *like.shape[1:])
            draws = [torch.empty(shape).exponential_(generator=generator) for generator in generators]
            return torch.cat(draws).log().mul_(-self.strength).to(like)

        return draw


class TrainingRun:
    """The gated convolutions of one module over the frames of a batch of clips.

    Args:
        tau: temperature of the Gumbel softmax.
        noise: what is added to the logits.

    Attributes:
        sparse: whether gates decide about the frame that comes next; otherwise everything is computed.
        records: of all sparse steps so far.
    """

    def __init__(self, tau: float, noise: NoiseSource) -> None:
        self.tau, self.noise = tau, noise
        self.sparse = False
        self.records: list[SparseStep] = []
        self._previous: dict[SparseConv2d, Previous] = {}
        self._numbers: dict[SparseConv2d, int] = {}
        self._steps: dict[SparseConv2d, int] = {}

    def convolve(self, conv: SparseConv2d, x: Tensor, shared: Tensor | None) -> Tensor:
        """One layer."""
        assert conv.gate is not None
        x, previous = join_channels(x, shared), self._previous.get(conv)
        number = self._numbers.setdefault(conv, len(self._numbers))
        step = self._steps[conv] = self._steps.get(conv, -1) + 1
        if not self.sparse or (conv.gate.needs_previous and previous is None):
            output = conv.convolve(x)
        else:
            output, computed = conv.gate.mix(conv, x, previous, self.tau, self.noise(number, step))
            self.records.append(SparseStep(conv, computed))
        self._previous[conv] = Previous(x, output)
        return conv.finish(output.clone())  # which may overwrite it

    def fork(self) -> TrainingRun:
        """A run at the same point, whose further steps do not show in this one."""
        other = TrainingRun(self.tau, self.noise)
        other.sparse, other._previous = self.sparse, dict(self._previous)
        other._numbers, other._steps = dict(self._numbers), dict(self._steps)
        return other


def recomputed(function: Callable[..., Any], run: TrainingRun | None, *inputs: Any) -> Any:
    """function(*inputs, run), whose activations are not kept but computed again for the backward pass.

    The second time it runs on a fork of the run as it was before, so that nothing is recorded twice.
    """
    again = None if run is None else run.fork()
    calls = 0

    def call(*inputs: Any) -> Any:
        nonlocal calls
        calls += 1
        return function(*inputs, run if calls == 1 or again is None else again.fork())

    return checkpoint(call, *inputs, use_reentrant=False)
