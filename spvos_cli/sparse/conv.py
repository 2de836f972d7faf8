"""The convolutions that a gate may make sparse."""

from __future__ import annotations

from typing import Literal, Protocol

from torch import Tensor

from spvos_cli.sparse.conv_unit import ConvUnit
from spvos_cli.sparse.gate import Gate

Role = Literal["branch", "other"]


class SparseConv2d(ConvUnit):
    """A convolution that can have a gate (Section III-C). Without one it computes every pixel.

    Args:
        role: `branch` on the residual branch of a residual block, where the paper puts gates; `other` for
            those that it gates only in Table III's dagger rows (shortcuts, heads, skip convolutions, the
            prediction).
    """

    def __init__(self, *args: int, role: Role = "branch", **options: bool) -> None:
        super().__init__(*args, **options)
        self.role = role
        self.gate: Gate | None = None

    def forward(self, x: Tensor, run: LayerRunner | None = None, shared: Tensor | None = None) -> Tensor:
        """As `dense`; where there is a gate, the run knows what becomes of each pixel."""
        if self.gate is None or run is None:
            return self.dense(x, shared)
        return run.convolve(self, x, shared)


class LayerRunner(Protocol):
    """What a gated convolution needs to know besides its input: whether this frame is sparse, and what was at
    t-1."""

    def convolve(self, conv: SparseConv2d, x: Tensor, shared: Tensor | None) -> Tensor: ...
