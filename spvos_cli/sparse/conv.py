"""The convolutions that a gate may make sparse."""

from __future__ import annotations

from typing import Literal, Protocol

from torch import Tensor

from spvos_cli.sparse.conv_unit import ConvUnit
from spvos_cli.sparse.gate_base import Gate

Role = Literal["branch", "other", "module"]


class SparseConv2d(ConvUnit):
    """A convolution that can have a gate (Section III-C). Without one it computes every pixel.

    Args:
        role: `branch` on the residual branch of a residual block, where the paper puts gates; `other` for
            those that it gates only in Table III's dagger rows (shortcuts, heads, skip convolutions, the
            prediction); `module` where none but a whole module's gate reaches.
        per_frame: whether its input is a frame's, one row for all objects, in a module that otherwise has a
            row for each of them.
        bias, norm, relu: as in `ConvUnit`.

    Attributes:
        gate: its own.
        obeys_module: whether the gate of its whole module decides about its pixels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        *,
        role: Role = "branch",
        per_frame: bool = False,
        bias: bool = True,
        norm: bool = False,
        relu: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, bias=bias, norm=norm, relu=relu)
        self.role, self.per_frame = role, per_frame
        self.gate: Gate | None = None
        self.obeys_module = False

    def forward(self, x: Tensor, run: LayerRunner | None = None, shared: Tensor | None = None) -> Tensor:
        """As `dense`; where there is a gate, the run knows what becomes of each pixel."""
        if run is None or not self.is_gated:
            return self.dense(x, shared)
        return run.convolve(self, x, shared)

    @property
    def is_gated(self) -> bool:
        """Whether a gate decides about its pixels: then what it puts out may be kept for the next frame."""
        return self.gate is not None or self.obeys_module


class LayerRunner(Protocol):
    """What a gated convolution needs to know besides its input: whether this frame is sparse, and what was at
    t-1."""

    def convolve(self, conv: SparseConv2d, x: Tensor, shared: Tensor | None) -> Tensor: ...
