"""From clips of recorded streams to the loss: with its gates the decoder shall say what it said without
them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spvos_cli.distributed import Processes
from spvos_cli.model.layers import aggregate_logits
from spvos_cli.model.network import VOSNetwork
from spvos_cli.sparse.training import GumbelNoise, TrainingRun
from spvos_cli.training.objective import bootstrapped_cross_entropy, dice_distances, overlaps
from spvos_cli.training.options import TrainOptions
from spvos_cli.training.recording import DecoderInputs
from spvos_cli.training.sparsity import sparsity_objective

KEPT = 0.15  # share of a frame's pixels that count, those with the largest loss


class ReplayLoss(nn.Module):
    """Distance to the teacher and to the true masks, and the sparsity objective, of a batch.

    Args:
        network: whose decoder is trained.
        teacher: a network without gates, or one whose gates are not asked.
        options: the recipe.
        dtype: of the decoders' arithmetic (autocast); losses are float32.
    """

    def __init__(
        self,
        network: VOSNetwork,
        teacher: VOSNetwork,
        options: TrainOptions,
        dtype: torch.dtype,
        processes: Processes,
    ) -> None:
        super().__init__()
        self.network, self.options, self.dtype, self.processes = network, options, dtype, processes
        self.teacher = teacher.eval().requires_grad_(False)

    def forward(
        self,
        readout: Tensor,
        value: Tensor,
        f8: Tensor,
        f4: Tensor,
        masks: Tensor,
        iteration: int,
        clips: range,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of this process's part of a batch; its mean over the processes is the batch's.

        Args:
            readout, value, f8, f4: (B, T, C, ...), masks: (B, T, S, S) in {0, 1}.
            iteration: of the run.
            clips: numbers of these clips in the whole batch.

        Returns:
            The loss, and figures for the log.
        """
        options, progress = self.options, iteration / self.options.iterations
        noise = GumbelNoise(options.seed, iteration, clips, options.noise)
        run = TrainingRun(options.tau, noise)
        with torch.autocast(masks.device.type, self.dtype, enabled=self.dtype != torch.float32):
            said, taught = self._decode(DecoderInputs(readout, value, f8, f4), run)
        distance = bernoulli_divergence(said, taught).flatten(2)
        kept = max(1, int(KEPT * distance.shape[2]))
        distance = distance.topk(kept, dim=2, sorted=False).values.mean()
        logits = aggregate_logits(said.sigmoid().flatten(0, 1).unsqueeze(1))
        truth = masks.flatten(0, 1)
        entropy = bootstrapped_cross_entropy(logits, truth.long(), KEPT)
        dice = dice_distances(logits, truth.unsqueeze(1)).mean()
        real = torch.ones(len(masks), 1, dtype=torch.bool, device=masks.device)
        sparsity, density = sparsity_objective(
            run.records, real, progress, options, self.network.config.method, self.processes
        )
        figures = {"distance": distance, "entropy": entropy, "dice": dice, "density": density}
        figures["iou"] = overlaps(logits, truth.unsqueeze(1)).mean()
        share = options.teacher_share
        loss = share * distance + (1 - share) * (entropy + options.dice * dice)
        return loss + options.gamma * sparsity, {name: figure.detach() for name, figure in figures.items()}

    def _decode(self, inputs: DecoderInputs, run: TrainingRun) -> tuple[Tensor, Tensor]:
        """Logits of the network, whose first frame is dense, and probabilities of the teacher, all of whose
        frames are: (B, T, S, S)."""
        said, taught = [], []
        for t in range(inputs.readout.shape[1]):
            moment = DecoderInputs(*(x[:, t].contiguous(memory_format=torch.channels_last) for x in inputs))
            readout, query = moment.readout.unsqueeze(1), moment.query()
            run.sparse = t > 0
            said.append(self.network.decode(readout, query, run)[:, 0].float())
            with torch.no_grad():
                taught.append(self.teacher.decode(readout, query)[:, 0].float().sigmoid())
        return torch.stack(said, dim=1), torch.stack(taught, dim=1)


def bernoulli_divergence(logits: Tensor, taught: Tensor) -> Tensor:
    """Kullback and Leibler's, of a pixel's taught probability from what the logit says; shapes are kept."""
    entropy = torch.special.entr(taught) + torch.special.entr(1 - taught)
    return F.binary_cross_entropy_with_logits(logits, taught, reduction="none") - entropy
