"""The sparse convolution as the paper writes it, a frame and an object at a time: what the fast code is
compared with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.conv_unit import ConvUnit
from spvos_cli.sparse.kernels.reference import ReferenceKernel
from spvos_cli.sparse.layer_state import without_repeated_skips
from spvos_cli.sparse.policy import COMPUTE, REUSE, SKIP, of_pixels


class Definition:
    """One layer in one stream. The layer's normalisation is not folded."""

    def __init__(self, conv: SparseConv2d) -> None:
        self.conv = conv
        self.input: dict[int, Tensor] = {}
        self.output: dict[int, Tensor] = {}

    def step(self, x: dict[int, Tensor], *, sparse: bool) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Inputs (1, Cin, H, W) by object -> outputs and policies (None where it ran densely) by object."""
        outputs, policies = {}, {}
        for i, image in x.items():
            before = self.input.get(i)
            known = before is not None and before.shape == image.shape
            dense = self.conv.convolve(image)
            if not sparse or (self.conv.gate.needs_previous and not known):
                out, policies[i] = dense, None
            else:
                policy = policies[i] = self.policy(image, before)
                out = self.combine(policy[None], dense, image, before, self.output.get(i))
            self.input[i], self.output[i] = image.clone(), out.clone()
            outputs[i] = self.conv.finish(out.clone())
        self.input = {i: self.input[i] for i in x}
        self.output = {i: self.output[i] for i in x}
        return outputs, policies

    def policy(self, image: Tensor, before: Tensor | None) -> Tensor:
        """(1, H, W)"""
        gate, method = self.conv.gate, self.conv.gate.method
        if method == "triple":
            return gate(torch.cat([before, image], dim=1)).argmax(dim=1)
        logit = gate(image if method == "static" else (image - before).abs())[:, 0]
        return torch.where(logit >= 0, COMPUTE, SKIP if method == "static" else REUSE)

    def combine(
        self, policy: Tensor, dense: Tensor, image: Tensor, before: Tensor | None, kept: Tensor | None
    ) -> Tensor:
        if self.conv.gate.method == "residual":
            change = F.conv2d(image - before, self.conv.weight, None, self.conv.stride, self.conv.padding)
            return kept + torch.where(policy == COMPUTE, change, 0)
        out = torch.where(policy == COMPUTE, dense, 0)
        return out if self.conv.gate.method == "static" else torch.where(policy == REUSE, kept, out)


class Lists(ReferenceKernel):
    """A `ModuleKernel` whose lists are the policies, REUSE where the skipped value is there already."""

    def list_cells(self, policy: Tensor, before: Tensor) -> Tensor:
        return without_repeated_skips(policy, before)

    def update_cells(
        self, conv: ConvUnit, x: Tensor, shared: Tensor | None, cells: Tensor, output: Tensor
    ) -> None:
        self.update(conv, x, shared, of_pixels(cells, output.shape[2] // cells.shape[1]), output)


def random_conv(
    seed: int, shape: tuple[int, int, int, int], *, norm: bool, relu: bool, bias: bool = True
) -> SparseConv2d:
    """(Cin, Cout, k, stride) with random normalisation, no gate."""
    torch.manual_seed(seed)
    conv = SparseConv2d(*shape, norm=norm, relu=relu, bias=bias).eval()
    if norm:
        for tensor in (conv.norm.weight, conv.norm.running_var):
            torch.nn.init.uniform_(tensor, 0.5, 1.5)
        for tensor in (conv.norm.bias, conv.norm.running_mean):
            torch.nn.init.normal_(tensor)
    return conv


def random_policy(seed: int, shape: tuple[int, int, int], density: float) -> Tensor:
    """(B, H, W) uint8: COMPUTE at about the density, SKIP and REUSE in equal parts for the rest."""
    draw = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    rest = (draw < density + (1 - density) / 2).byte() * REUSE
    return rest.masked_fill(draw < density, COMPUTE)


def folded(conv: ConvUnit) -> ConvUnit:
    """For the fast code, which wants normalisation folded."""
    conv.fold_norm()
    return conv.requires_grad_(False)
