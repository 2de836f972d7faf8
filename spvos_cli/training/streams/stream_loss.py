"""From stretches of streams to the loss of the gates: the network follows objects as at test time, on masks
that its own gates left it with, and each decision is weighed against what the decoder says without them. The
decoder itself can learn beside its gates: to say with them what it said before there were any."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor, nn

from spvos_cli.distributed import Processes
from spvos_cli.errors import InputError
from spvos_cli.inference.stream import State, Stream
from spvos_cli.model.checkpoint import load_checkpoint
from spvos_cli.model.decoder import Decoder
from spvos_cli.model.encoders import Query
from spvos_cli.model.network import VOSNetwork
from spvos_cli.sparse.run import ModuleRunner
from spvos_cli.training.clips.gumbel import seeded
from spvos_cli.training.clips.sparsity import annealed
from spvos_cli.training.losses import bernoulli_divergence
from spvos_cli.training.options import TrainOptions
from spvos_cli.training.streams.price import Price
from spvos_cli.training.streams.weighing import Taught, Watch, WeighingRun

KEPT = 0.15  # share of a frame's pixels that the distance is of, those that are furthest off
DIRECTIONS = 2  # random directions of the mask in which errors are measured
USUAL, SMALLEST = 0.05, 0.003  # shares of a frame that an object covers
LEAST = 1e-3  # added to the variance of a pixel's mask, so that what is certain counts as well


class WeighedStream(Stream):
    """A stream whose decoder's gates learn.

    Args:
        network: with gates in the decoder.
        teacher: what the decoder shall say with gates; None: what it says without.

    Attributes:
        weighing: runs the decoder's gated convolutions.
        generator: of the random directions in which errors are measured.
        distances: from what the decoder shall say, of each frame that taught since they were last taken.
    """

    def __init__(self, network: VOSNetwork, teacher: Decoder | None = None) -> None:
        config = network.config
        self.weighing = WeighingRun()
        super().__init__(
            network,
            config.mem_every,
            config.top_k,
            config.max_memory,
            runs={"D": self.weighing},
            decode=self.decode_and_learn,
        )
        self.teacher = teacher
        self.generator = torch.Generator()
        self.distances: list[Tensor] = []

    def forget(self) -> None:
        """Ends a stretch: what was recorded goes, and gradients reach no further back."""
        self.weighing.forget()
        self.distances = []

    def decode_and_learn(self, readout: Tensor, query: Query, run: ModuleRunner | None) -> Tensor:
        """The decoder's logits (1, K, H, W), without a gradient; what its gates learn from is recorded."""
        with torch.inference_mode(False), torch.enable_grad():
            readout, query = readout.clone(), Query(*(x.clone() for x in query))
            shall = None if self.teacher is None else self.teacher(readout, query).sigmoid()  # (1, K, H, W)
            if self.weighing.sparse:
                without, self.weighing.taught = teach(self.network, readout, query, self.generator)
                shall = without if shall is None else shall
            said = self.network.decode(readout.detach(), query, run)
            if shall is not None:
                self.distances.append(furthest(importance(shall) * bernoulli_divergence(said, shall)))
        return said.detach()


def importance(prob: Tensor) -> Tensor:
    """What an error in the masks (B, K, H, W) counts, for each object (B, K, 1, 1): J is of an object's size,
    so the more the smaller it is."""
    return USUAL / prob.mean(dim=(2, 3), keepdim=True).clamp(min=SMALLEST)


def furthest(distances: Tensor) -> Tensor:
    """The mean over the pixels that are furthest off."""
    kept = max(1, int(KEPT * distances.numel()))
    return distances.flatten().topk(kept, sorted=False).values.mean()


def teach(
    network: VOSNetwork, readout: Tensor, query: Query, generator: torch.Generator
) -> tuple[Tensor, list[Taught]]:
    """The decoder's probabilities (B, K, H, W) without gates, and what each gated layer has to do with
    them."""
    watch = Watch()
    logits = network.decode(readout.requires_grad_(), query, watch)
    prob = logits.detach().sigmoid()
    deviation = (importance(prob) * (prob * (1 - prob) + LEAST)).sqrt()
    gradients = [
        torch.autograd.grad(
            logits,
            watch.outputs,
            deviation * torch.randn(logits.shape, generator=generator).to(logits),
            retain_graph=direction < DIRECTIONS - 1,
        )
        for direction in range(DIRECTIONS)
    ]
    layers = zip(watch.outputs, zip(*gradients, strict=True), strict=True)
    return prob, [Taught(output.detach(), torch.stack(each)) for output, each in layers]


class StreamLoss(nn.Module):
    """Of a batch of stretches, each of which goes on where the one before it in its slot ended.

    Args:
        network: whose decoder's gates learn, and where `options.learn` is "gated" the rest of the decoder.
        options: the recipe.
        teacher: what that rest learns from; None: what it is now.
    """

    def __init__(
        self, network: VOSNetwork, options: TrainOptions, processes: Processes, teacher: Decoder | None = None
    ) -> None:
        super().__init__()
        self.network, self.options, self.processes = network, options, processes
        self.price = Price()
        self.teacher = None
        if options.learn == "gated":
            self.teacher = copy.deepcopy(teacher or network.decoder).eval().requires_grad_(False)
        self.streams: dict[int, WeighedStream] = {}

    def forward(
        self, frames: Tensor, ids: Tensor, starts: Tensor, iteration: int, slots: range
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of this process's part of a batch; its mean over the processes is the batch's.

        Args:
            frames: (B, T, 3, S, S) uint8, ids: (B, S, S) uint8, starts: (B,) bool.
            iteration: of the run.
            slots: of these stretches in the whole batch.

        Returns:
            The loss, and figures for the log.
        """
        records, distances = [], []
        for slot, stretch, first, new in zip(slots, frames, ids, starts.tolist(), strict=True):
            stream = self._stream(slot, iteration, new=new)
            given = {i: (first == i).float() for i in first.unique().tolist() if i} if new else None
            for frame in stretch:
                stream.step(frame / 255, given)
                given = None
            records += stream.weighing.records
            distances.append(torch.stack(stream.distances).mean())
            stream.forget()
        target = annealed(self.options.target, iteration / self.options.iterations, self.options.anneal)
        loss, density = self.price(records, target, self.processes)
        distance = torch.stack(distances).mean()
        figures = {"regret": loss.detach(), "density": density, "distance": distance.detach()}
        return loss if self.teacher is None else loss + distance, figures

    def get_extra_state(self) -> dict[int, State]:
        """Where the streams stand, between two steps; part of `state_dict`."""
        return {slot: tuple(stream.state()) for slot, stream in self.streams.items()}

    def set_extra_state(self, state: dict[int, State]) -> None:
        """Goes on from there; exactly so where memory frames are dense, for the next frame is one."""
        for slot in state.keys() & set(self.processes.share(self.options.batch_size)):
            self.streams[slot] = WeighedStream(self.network, self.teacher)
            self.streams[slot].restore(State(*state[slot]))

    def _stream(self, slot: int, iteration: int, *, new: bool) -> WeighedStream:
        if new:
            self.streams[slot] = WeighedStream(self.network, self.teacher)
        self.streams[slot].generator = seeded(self.options.seed, slot, iteration)
        return self.streams[slot]


def stream_loss(
    network: VOSNetwork, options: TrainOptions, processes: Processes, teacher: Path | None
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
    if network.gated_parts != "D":
        found = f"gates in {network.gated_parts}"
        raise InputError(
            "--recipe stream", found=found, expected="gates in the decoder alone", fix="--sparse D"
        )
    return StreamLoss(network, options, processes, teaching_decoder(teacher, network) if teacher else None)


def teaching_decoder(teacher: Path, network: VOSNetwork) -> Decoder:
    """The decoder in weights, which takes what the network's own takes; see `stream_loss`."""
    taught = load_checkpoint(teacher)
    found, expected = (
        f"{c.architecture}, decoder {c.decoder_channels}, values {c.value_channels}"
        for c in (taught.config, network.config)
    )
    if found != expected:
        raise InputError(teacher, found=found, expected=expected, fix="--teacher FILE")
    return taught.decoder
