"""What a backend of the sparse convolution does; `reference` defines it, the others are faster."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from spvos_cli.sparse.conv_unit import ConvUnit
from spvos_cli.sparse.layer_state import LayerState


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


@runtime_checkable
class DecidingKernel(Protocol):
    """A backend that also makes a triple gate's decision."""

    def decide(
        self,
        conv: ConvUnit,
        x: Tensor,
        shared: Tensor | None,
        parts: Tensor,
        bias: Tensor,
        state: LayerState,
        given: Tensor | None = None,
    ) -> bool:
        """A step of `TripleGate` after its convolution: policies from logits, and `Kernel.update` under them.

        Args:
            parts: (B, 6, H, W), the input's part in this frame's logits and in the next one's.
            bias: (3,), of the gate.
            state: of the layer; output, policy and logits are changed in place.
            given: (B, H, W) uint8, policies that hold whatever the logits say.

        Returns:
            Whether it was done; where it was not, nothing has changed.
        """


@runtime_checkable
class ModuleKernel(Protocol):
    """A backend that lists what one policy has computed once, for all layers of a module."""

    def list_cells(self, policy: Tensor, before: Tensor) -> Any:
        """What `update_cells` wants to know of a policy.

        Args:
            policy: (B, h, w) uint8, of cells.
            before: likewise, under which the layers' outputs were left: a cell that was skipped then, and is
                now, holds the skipped values already.
        """

    def update_cells(
        self, conv: ConvUnit, x: Tensor, shared: Tensor | None, cells: Any, output: Tensor
    ) -> None:
        """As `Kernel.update` under the policy of pixels' cells; output: (B, C, n * h, n * w)."""
