"""What is measured on a frame's probabilities, and how it gets to the host."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def strongest(probs: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """The largest of some maps (H, W) at each pixel, and which that is, uint8: the first of equal ones. It is
    faster than PyTorch's maximum over the first dimension."""
    maps = iter(probs)
    best = next(maps).clone()
    row = torch.zeros(best.shape, dtype=torch.uint8, device=best.device)
    for k, each in enumerate(maps, 1):
        row = torch.maximum(row, (each > best).view(torch.uint8).mul(k))  # masks are filled more slowly
        best = torch.maximum(best, each, out=best)
    return best, row


def confidence_table(best: Tensor, row: Tensor, objects: int) -> Tensor:
    """Of `strongest` of background and objects: (2, K), each object's mean probability over the pixels that
    it holds, and how many those are."""
    holds = row == torch.arange(1, 1 + objects, dtype=row.dtype, device=row.device)[:, None, None]
    pixels, sums = (x.sum(dim=(1, 2), dtype=best.dtype) for x in (holds, holds * best))
    return torch.stack([sums / pixels, pixels])


def fetched(tensors: list[Tensor]) -> list[Tensor]:
    """Tensors in the CPU's memory, all in one transfer, so that a GPU is waited for once."""
    if len(tensors) == 1:
        return [tensors[0].cpu()]
    wide_first = sorted(range(len(tensors)), key=lambda i: -tensors[i].element_size())  # for alignment
    parts = [tensors[i].to(tensors[0].device).flatten().view(torch.uint8) for i in wide_first]
    arrived = torch.cat(parts).cpu().split([len(part) for part in parts])
    views = {i: part.view(tensors[i].dtype) for i, part in zip(wide_first, arrived, strict=True)}
    return [views[i].view(x.shape) for i, x in enumerate(tensors)]
