"""A stream as at test time whose decoder's gates learn: each decision is compared with what the decoder says
without gates."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spvos_cli.inference.stream import Stream
from spvos_cli.model.encoders import Query
from spvos_cli.model.matching import top_k_readout
from spvos_cli.model.network import VOSNetwork
from spvos_cli.sparse.run import ModuleRunner
from spvos_cli.training.losses import bernoulli_divergence, mean_of_hardest
from spvos_cli.training.streams.policy_costs import DecoderTarget, DenseRun, PolicyCostRun, PolicyCosts

HARDEST = 0.15  # share of a frame's pixels that the distance is of, those that are furthest off
DIRECTIONS = 2  # random directions of the mask in which errors are measured
USUAL_AREA, SMALLEST_AREA = 0.05, 0.003  # shares of a frame that an object covers
LEAST = 1e-3  # added to the variance of a pixel's mask, so that what is certain counts as well


class StreamInTraining:
    """A stream that is run in the arithmetic that is trained in.

    Attributes:
        stream: the video's state.
        dtype: of the network's arithmetic.
    """

    stream: Stream
    dtype: torch.dtype

    def step(self, image: Tensor, given: dict[int, Tensor] | None = None) -> Tensor:
        """Segments the next frame; as `Stream.step`."""
        lower = self.dtype != torch.float32
        # without its cache: what is cast in inference mode cannot be used where there are gradients
        with torch.autocast(image.device.type, self.dtype, enabled=lower, cache_enabled=False):
            return self.stream.step(image, given)


class LearningStream(StreamInTraining):
    """One video, followed from segment to segment.

    Args:
        network: with gates in the decoder.
        dtype: of its arithmetic; matching, errors and distances are float32.
        teacher: a decoder that says what the network's is to say with gates; None: itself without them.

    Attributes:
        run: runs the decoder's gated convolutions, and has their sparse steps.
        generator: of the random directions in which errors are measured.
        distances: from what the decoder is to say, for each frame that taught since the segment began.
    """

    def __init__(
        self, network: VOSNetwork, dtype: torch.dtype = torch.float32, teacher: nn.Module | None = None
    ) -> None:
        config = network.config
        self.network, self.dtype, self.teacher = network, dtype, teacher
        self.run = PolicyCostRun()
        self.generator = torch.Generator()
        self.distances: list[Tensor] = []
        self.stream = Stream(
            network,
            config.mem_every,
            config.top_k,
            config.max_memory,
            runs={"D": self.run},
            decode=self.decode_and_learn,
            read_top_k=read_exactly,
        )

    @property
    def steps(self) -> list[PolicyCosts]:
        """All sparse steps of gated convolutions since the segment began."""
        return self.run.steps

    def end_segment(self) -> None:
        """What was recorded goes, and gradients reach no further back."""
        self.run.forget()
        self.distances = []

    def decode_and_learn(self, readout: Tensor, query: Query, run: ModuleRunner | None) -> Tensor:
        """The decoder's logits (1, K, H, W), without a gradient; what its gates learn from is recorded."""
        with torch.inference_mode(False), torch.enable_grad():
            readout, query = readout.clone(), Query(*(x.clone() for x in query))
            target = None if self.teacher is None else self.teacher(readout, query).float().sigmoid()
            if self.run.sparse:
                dense_prob, self.run.targets = decoder_targets(self.network, readout, query, self.generator)
                target = dense_prob if target is None else target
            gated_logits = self.network.decode(readout.detach(), query, run).float()
            if target is not None:
                divergence = bernoulli_divergence(gated_logits, target)
                self.distances.append(mean_of_hardest(area_weight(target) * divergence, HARDEST))
        return gated_logits.detach()


def read_exactly(
    query_key: Tensor, memory_key: Tensor, memory_value: Tensor, top_k: int, usage: Tensor | None = None
) -> Tensor:
    """As `top_k_readout`, in float32 also within autocast."""
    with torch.autocast(query_key.device.type, enabled=False):
        return top_k_readout(query_key, memory_key, memory_value, top_k, usage)


def area_weight(prob: Tensor) -> Tensor:
    """What an error in the masks (B, K, H, W) counts, for each object (B, K, 1, 1): J is of an object's size,
    so the more the smaller it is."""
    weight: Tensor = USUAL_AREA / prob.mean(dim=(2, 3), keepdim=True).clamp(min=SMALLEST_AREA)
    return weight


def decoder_targets(
    network: VOSNetwork, readout: Tensor, query: Query, generator: torch.Generator
) -> tuple[Tensor, list[DecoderTarget]]:
    """The decoder's probabilities (B, K, H, W) without gates, and how they depend on each gated layer."""
    run = DenseRun()
    logits = network.decode(readout.requires_grad_(), query, run)
    prob = logits.detach().float().sigmoid()
    deviation = (area_weight(prob) * (prob * (1 - prob) + LEAST)).sqrt()
    gradients = [
        torch.autograd.grad(
            logits,
            run.outputs,
            (deviation * torch.randn(logits.shape, generator=generator).to(deviation)).to(logits),
            retain_graph=direction < DIRECTIONS - 1,
        )
        for direction in range(DIRECTIONS)
    ]
    layers = zip(run.outputs, zip(*gradients, strict=True), strict=True)
    return prob, [DecoderTarget(output.detach(), torch.stack(each)) for output, each in layers]
