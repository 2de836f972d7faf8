"""What a backend of the sparse convolution does; `reference` defines it, the others are faster."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from spvos_cli.sparse.conv_unit import ConvUnit


class Kernel(Protocol):
    """Both methods change `output` (B, Cout, H, W), channels last, in place; policies are (B, H, W) uint8.

    The unit's batch normalisation is folded. A computed pixel reads its neighbourhood in the input as it
    stands.
    """

    def update(
        self, conv: ConvUnit, x: Tensor, shared: Tensor | None, policy: Tensor, output: Tensor
    ) -> None:
        """COMPUTE: the unit's output; SKIP: what it puts out for 0; REUSE: nothing, the pixel stays as it
        is."""

    def add(self, conv: ConvUnit, change: Tensor, policy: Tensor, output: Tensor) -> None:
        """COMPUTE: adds the convolution of the change, without bias or ReLU; elsewhere nothing."""
