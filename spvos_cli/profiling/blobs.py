"""Policies of a given density, in blobs as gates make them: to time sparse frames without trained gates."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from spvos_cli.model.network import VOSNetwork
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.plan import PARTS
from spvos_cli.sparse.policy import COMPUTE, REUSE, SKIP

REUSED = 0.265  # of what is not computed: Figure 5 has 66.1 % skipped, 23.8 % reused, 10.1 % computed
PERIOD = 6  # frames after which the blobs are where they were; maps are made once
GRAIN = 1 / 12  # size of a blob, as a share of the map's sides


class BlobPolicies:
    """To be injected into runs; the blobs wander from frame to frame.

    Args:
        density: share of computed pixels, by the letters Q, D and M.

    Attributes:
        frame: the number of the frame.
    """

    def __init__(self, network: VOSNetwork, density: Mapping[str, float]) -> None:
        self.density = {
            conv: density[letter]
            for letter, module in PARTS.items()
            if letter in density
            for conv in network.get_submodule(module).modules()
            if isinstance(conv, SparseConv2d)
        }
        self.frame = 0
        self._maps: dict[tuple[int, int, int, float, int], Tensor] = {}

    def __call__(self, conv: SparseConv2d, policy: Tensor) -> Tensor:
        blobs = self.policy_of(conv, policy)
        return policy if blobs is None else blobs

    def policy_of(self, conv: SparseConv2d, like: Tensor) -> Tensor | None:
        """As in `Prescribed`."""
        if conv not in self.density:
            return None
        height, width = like.shape[1:]
        key = (len(like), height, width, self.density[conv], self.frame % PERIOD)
        if key not in self._maps:
            step = self.frame % PERIOD * max(1, height // 60)
            blobs = blob_map(*key[1:4]).to(like.device)
            rows = [blobs.roll((step, step + row * width // 3), (0, 1)) for row in range(len(like))]
            self._maps[key] = torch.stack(rows)
        return self._maps[key]


def blob_map(height: int, width: int, density: float) -> Tensor:
    """(height, width) uint8: smooth noise, cut at the heights that give the shares."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(
        1, 1, *(max(2, round(GRAIN * side)) for side in (height, width)), generator=generator
    )
    noise = F.interpolate(coarse, (height, width), mode="bicubic").flatten()
    ranks = torch.empty(len(noise)).index_copy_(
        0, noise.argsort(descending=True), torch.linspace(0, 1, len(noise))
    )
    policy = torch.where(ranks < density + (1 - density) * REUSED, REUSE, SKIP).masked_fill(
        ranks < density, COMPUTE
    )
    return policy.byte().view(height, width)
