"""From a batch of clips to the loss, as one module, so that it can be run by many processes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spvos_cli.data.clips import MAX_OBJECTS
from spvos_cli.distributed import Processes
from spvos_cli.model.network import VOSNetwork
from spvos_cli.training.base_options import ClipOptions
from spvos_cli.training.clips.gumbel import GumbelNoise, TrainingRun
from spvos_cli.training.clips.sparsity import gate_loss
from spvos_cli.training.clips.unroll import memory_frames_of_clip, one_hot, unroll
from spvos_cli.training.losses import bootstrapped_cross_entropy, dice_distances, kept_share, overlaps
from spvos_cli.training.position import StepPosition


class ClipLoss(nn.Module):
    """Segmentation loss and, with gates, their loss of a batch.

    Args:
        network: what is trained.
        options: the recipe.
        dtype: of the network's arithmetic (autocast); matching and losses are float32.
    """

    def __init__(
        self, network: VOSNetwork, options: ClipOptions, dtype: torch.dtype, processes: Processes
    ) -> None:
        super().__init__()
        self.network, self.options, self.dtype, self.processes = network, options, dtype, processes

    def forward(
        self, frames: Tensor, ids: Tensor, objects: Tensor, position: StepPosition
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of this process's part of a batch; its mean over the processes is the batch's.

        Args:
            frames: (B, T, 3, S, S) uint8, ids: (B, T, S, S) uint8 in 0..2, objects: (B,).
            position: of the run, and of these clips in the whole batch.

        Returns:
            The loss, and figures for the log.
        """
        options, progress = self.options, position.progress
        noise = GumbelNoise(options.seed, position.iteration, position.clips, options.noise)
        memory_frames = memory_frames_of_clip(self.network, options.seed, position.iteration)
        runs = {part: TrainingRun(options.tau, noise) for part in self.network.gated_parts}
        real = torch.arange(MAX_OBJECTS, device=objects.device) < objects[:, None]
        masks = one_hot(ids, MAX_OBJECTS)
        with torch.autocast(frames.device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits = unroll(
                self.network,
                frames / 255,
                masks[:, 0],
                real,
                runs,
                memory_frames=memory_frames,
                checkpointed=options.checkpoint_activations,
            ).flatten(0, 1)
        masks, every = masks[:, 1:].flatten(0, 1), real.repeat_interleave(ids.shape[1] - 1, dim=0)
        entropy = bootstrapped_cross_entropy(logits, ids[:, 1:].flatten(0, 1).long(), kept_share(progress))
        dice = self._mean(dice_distances(logits, masks), every)
        figures = {"entropy": entropy, "dice": dice, "iou": self._mean(overlaps(logits, masks), every)}
        loss = entropy + options.dice * dice
        if runs:
            records = [record for run in runs.values() for record in run.records]
            sparsity, figures["density"] = gate_loss(
                records, real, progress, options, self.network.config.method, self.processes
            )
            loss = loss + options.gamma * sparsity
        return loss, {name: figure.detach() for name, figure in figures.items()}

    def _mean(self, values: Tensor, real: Tensor) -> Tensor:
        """A mean of the values of real objects whose average over the processes is that over all of them."""
        count = self.processes.sum(real.sum().float())
        return (values * real).sum() * self.processes.world / count.clamp(min=1)
