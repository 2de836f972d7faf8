"""What the network of clicks minimises: it is asked about each picture several times, each time with one more
click where it was wrong."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spvos_cli.evaluation.clicking import next_click
from spvos_cli.model.clicks import ClickNetwork
from spvos_cli.model.said import Extent, PlacedClick, said_maps
from spvos_cli.training.losses import hard_overlaps, kept_share, mean_of_hardest, soft_dice_distances
from spvos_cli.training.options import ClicksOptions
from spvos_cli.training.position import StepPosition

FORGET_BOX = 0.3  # how often only clicks and the mask count from the first click on
LATE = 0.25  # how often learning begins after some clicks
MOST_UNLEARNED = 4
SMALLEST_SHARE = 0.3  # of the pixels that bootstrapping keeps


class ClickLoss(nn.Module):
    """The loss of a batch of `ClickSample`.

    Args:
        network: what is trained.
        options: the recipe.
        dtype: of the network's arithmetic (autocast); losses are float32.
    """

    def __init__(self, network: ClickNetwork, options: ClicksOptions, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.options, self.dtype = network, options, dtype

    def forward(
        self, image: Tensor, truth: Tensor, previous: Tensor, box: Tensor, position: StepPosition
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """image: (B, 3, S, S) uint8; see `ClickSample`."""
        rng = np.random.default_rng((self.options.seed, position.iteration, position.clips.start))
        each = zip(*(x.cpu().numpy() for x in (truth, previous, box)), strict=True)
        users = [_User(mask, start, edges, rng) for mask, start, edges in each]
        kept = kept_share(position.progress, smallest=SMALLEST_SHARE)
        masks = truth.float()
        losses, figures = [], dict[str, Tensor]()
        with torch.autocast(image.device.type, self.dtype, enabled=self.dtype != torch.float32):
            features = self.network.encode(image / 255)
            if rng.random() < LATE:
                with torch.no_grad():
                    for _ in range(int(rng.integers(1, MOST_UNLEARNED + 1))):
                        _answer(users, self._ask(features, users, image))
            for turn in range(self.options.turns):
                logits = self._ask(features, users, image).float()
                hard = F.binary_cross_entropy_with_logits(logits, masks, reduction="none")
                entropy = mean_of_hardest(hard, kept)
                dice = soft_dice_distances(logits.sigmoid(), masks).mean()
                losses.append(entropy + dice)
                overlap = hard_overlaps(logits.detach() > 0, truth).mean()
                figures |= {"entropy": entropy, "dice": dice, f"iou{turn}": overlap}
                if turn < self.options.turns - 1:
                    _answer(users, logits)
        return torch.stack(losses).mean(), {name: figure.detach() for name, figure in figures.items()}

    def _ask(self, features: tuple[Tensor, Tensor, Tensor], users: list[_User], image: Tensor) -> Tensor:
        said = np.stack([user.maps() for user in users])
        logits: Tensor = self.network(features, torch.from_numpy(said).to(image.device))
        return logits


class _User:
    """Says what somebody would say about an object."""

    def __init__(
        self, truth: np.ndarray, previous: np.ndarray, box: np.ndarray, rng: np.random.Generator
    ) -> None:
        self.truth, self.mask, self.rng = truth, previous, rng
        self.box = Extent(*box.tolist()) if box.any() else None
        self.clicks: list[PlacedClick] = []
        if self.box is None:
            self.answer(previous)

    def maps(self) -> np.ndarray:
        """What was said."""
        return said_maps(self.mask, self.box, self.clicks)

    def answer(self, mask: np.ndarray) -> None:
        """Clicks where a mask is wrong."""
        self.mask = mask
        click = next_click(self.truth, mask, rng=self.rng)
        if click:
            self.clicks.append(PlacedClick(*click))
        if self.rng.random() < FORGET_BOX:
            self.box = None


def _answer(users: list[_User], logits: Tensor) -> None:
    for user, mask in zip(users, (logits.detach() > 0).cpu().numpy(), strict=True):
        user.answer(mask)
