"""One gate for a whole module: SKIP, REUSE or COMPUTE for each object and each cell of the grid of stride 16,
decided before matching, and obeyed by all that follows."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spvos_cli.sparse.policy import REUSE, SKIP

CELL = 16  # pixels of a cell in height and width
REACHES = (2, 4)  # cells within which the gate is told of an object
MAPS = 14  # of `seen_maps`
WIDTH, KEY_MAPS = 32, 8  # channels of the gate, and of what it makes of the two keys
START = (0.0, 0.0, 2.0)  # bias of SKIP, REUSE, COMPUTE: at first all is computed


class GateView(NamedTuple):
    """What is known before a frame is matched; cells of the previous frame that are not known are 0.

    Attributes:
        key, previous_key: (1, Ck or more, h, w), of this frame and of the one before; the key itself comes
            before whatever else is matched.
        masks: (K, H, W), the objects' probabilities in the frame before; H = 16 h.
        policy: (K, h, w) uint8, what was decided about it.
        age: (K, h, w) float32, how many frames ago a cell was computed.
    """

    key: Tensor
    previous_key: Tensor
    masks: Tensor
    policy: Tensor
    age: Tensor


class ModuleGate(nn.Module):
    """Two small convolutions over what is known before matching.

    Args:
        key_channels: of the keys, Ck.
    """

    def __init__(self, key_channels: int) -> None:
        super().__init__()
        self.keys = nn.Conv2d(2 * key_channels, KEY_MAPS, 1)
        self.first = nn.Conv2d(MAPS + KEY_MAPS, WIDTH, 3, padding=1)
        self.second = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.last = nn.Conv2d(WIDTH, 3, 1)
        nn.init.zeros_(self.last.weight)
        with torch.no_grad():
            self.last.get_parameter("bias").copy_(torch.tensor(START))

    def forward(self, view: GateView) -> Tensor:
        """Logits (K, 3, h, w), float32, of SKIP, REUSE and COMPUTE."""
        dtype = self.last.weight.dtype
        channels = self.keys.in_channels // 2
        key, previous = (F.normalize(k[:, :channels].float(), dim=1) for k in (view.key, view.previous_key))
        maps = seen_maps(key, previous, view)
        keys = self.keys(torch.cat([key, previous], dim=1).to(dtype)).expand(len(maps), -1, -1, -1)
        x = self.first(torch.cat([maps.to(dtype), keys], dim=1)).relu()
        logits: Tensor = self.last(self.second(x).relu())
        return logits.float()


def seen_maps(key: Tensor, previous_key: Tensor, view: GateView) -> Tensor:
    """Where the object was, what moved there, and how alike the frames are: (K, `MAPS`, h, w).

    Args:
        key, previous_key: as in the view, of length 1.
    """
    masks = view.masks.unsqueeze(1).float()
    cells = masks.unflatten(2, (-1, CELL)).unflatten(4, (-1, CELL))
    most, least = cells.amax(dim=3).amax(dim=4), cells.amin(dim=3).amin(dim=4)
    mean = cells.sum(dim=3).sum(dim=4) / CELL**2
    unsure = 4 * (mean - cells.square().sum(dim=3).sum(dim=4) / CELL**2)
    others = (most.sum(dim=0, keepdim=True) - most).clamp(max=1)
    rows = [F.max_pool2d(most, (1, 2 * n + 1), stride=1, padding=(0, n)) for n in REACHES]
    within = [F.max_pool2d(x, (2 * n + 1, 1), 1, (n, 0)) for x, n in zip(rows, REACHES, strict=True)]
    alike = neighbour_similarities(key, previous_key)
    best, place = alike.max(dim=0)
    moved = [_nine(x).gather(1, place.expand(len(x), 1, -1, -1)) for x in (mean, most)]
    same = torch.stack([alike[4], best]).expand(len(masks), -1, -1, -1)
    policy = view.policy.unsqueeze(1)
    before = torch.cat([policy == SKIP, policy == REUSE], dim=1).float()
    age = (view.age / 4).clamp(max=2).unsqueeze(1)
    return torch.cat([mean, most, least, unsure, others, *within, *moved, same, before, age], dim=1)


def neighbour_similarities(key: Tensor, previous_key: Tensor) -> Tensor:
    """Of each cell and the nine about it in the frame before: (9, h, w), 0 outside."""
    height, width = key.shape[2:]
    padded = F.pad(previous_key, (1, 1, 1, 1))[0]
    shifted = [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return torch.stack([(key[0] * other).sum(dim=0) for other in shifted])


def _nine(x: Tensor) -> Tensor:
    """(K, 1, h, w) -> (K, 9, h, w): each cell's neighbours, zeros outside."""
    return F.unfold(x, 3, padding=1).unflatten(2, x.shape[2:])
