"""What training minimises: bootstrapped cross entropy (STCN), and for the lite recipe the soft Dice distance
beside it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def bootstrapped_cross_entropy(logits: Tensor, ids: Tensor, kept: float) -> Tensor:
    """The mean over the hardest pixels of each frame.

    Args:
        logits: (N, 1 + K, H, W), ids: (N, H, W) int64.
        kept: share of the pixels that count, in (0, 1].
    """
    return mean_of_hardest(F.cross_entropy(logits, ids, reduction="none"), kept)


def mean_of_hardest(losses: Tensor, kept: float) -> Tensor:
    """The mean of the largest of each row's pixels.

    Args:
        losses: (N, ...), one for each pixel.
        kept: share of the pixels that count, in (0, 1].
    """
    losses = losses.flatten(1)
    if kept < 1:
        losses = losses.topk(max(1, int(kept * losses.shape[1])), dim=1, sorted=False).values
    return losses.mean()


def kept_share(
    progress: float, *, start: float = 20 / 150, end: float = 70 / 150, smallest: float = 0.15
) -> float:
    """The share of pixels that bootstrapping keeps: 1 at first, then falling linearly.

    Args:
        progress: of the run, in [0, 1]; start and end likewise (STCN: iterations 20,000 and 70,000 of
            150,000).
    """
    return 1 - (1 - smallest) * min(max((progress - start) / (end - start), 0.0), 1.0)


def dice_distances(logits: Tensor, masks: Tensor) -> Tensor:
    """1 - the soft Dice coefficient of each object.

    Args:
        logits: (N, 1 + K, H, W), masks: (N, K, H, W) in {0, 1}.

    Returns:
        (N, K)
    """
    return soft_dice_distances(logits.softmax(dim=1)[:, 1:], masks)


def soft_dice_distances(prob: Tensor, masks: Tensor) -> Tensor:
    """1 - the soft Dice coefficient of probabilities and masks (..., H, W): (...)."""
    overlap = torch.einsum("...hw,...hw->...", prob, masks)
    dice = (2 * overlap + 1) / (prob.sum(dim=(-2, -1)) + masks.sum(dim=(-2, -1)) + 1)
    return 1 - dice


@torch.no_grad()
def overlaps(logits: Tensor, masks: Tensor) -> Tensor:
    """The region similarity J of each object's labels; as `dice_distances`."""
    return hard_overlaps(logits[:, 1:] == logits.amax(dim=1, keepdim=True), masks > 0.5)


def hard_overlaps(predicted: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union of boolean masks (..., H, W): (...); 1 where both are empty."""
    union = (predicted | truth).sum(dim=(-2, -1))
    overlap = (predicted & truth).sum(dim=(-2, -1))
    return torch.where(union > 0, overlap / union.clamp(min=1), 1.0)


def bernoulli_divergence(logits: Tensor, taught: Tensor) -> Tensor:
    """Kullback and Leibler's, of a pixel's taught probability from what the logit says; shapes are kept."""
    entropy: Tensor = torch.special.entr(taught) + torch.special.entr(1 - taught)
    cross = F.binary_cross_entropy_with_logits(logits, taught, reduction="none")
    return cross - entropy
