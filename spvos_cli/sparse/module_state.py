"""What a stream keeps for a whole module's gate, and the definition of a step under one policy."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.kernels.kernel import ModuleKernel
from spvos_cli.sparse.kernels.reference import REFERENCE
from spvos_cli.sparse.module_gate import CELL
from spvos_cli.sparse.policy import COMPUTE, SKIP, of_pixels

CERTAIN = -20.0  # the logit of certain background
Outputs = dict[SparseConv2d, Tensor]


@dataclasses.dataclass
class ModuleState:
    """What is kept of all that follows the query encoder; rows are objects, cells are of stride 16.

    Attributes:
        readout: (K, C, h, w), channels last.
        outputs: of each convolution, (K, Cout, H', W') or, where it is a frame's, (1, Cout, H', W').
        logits: (K, 16 h, 16 w) float32.
        policy: (K, h, w) uint8, what was decided last.
        age: (K, h, w) float32, how many frames ago a cell was computed.
        known: (K, h, w) bool, cells of which anything is kept; the others have to be computed.
        blank: (K, h, w) bool, cells that were skipped and whose skipped values are not written yet.
        frame_policy, frame_blank: (1, h, w), likewise of what is a frame's.
    """

    readout: Tensor
    outputs: Outputs
    logits: Tensor
    policy: Tensor
    age: Tensor
    known: Tensor
    blank: Tensor
    frame_policy: Tensor
    frame_blank: Tensor

    @classmethod
    def dense(cls, readout: Tensor, outputs: Outputs, logits: Tensor) -> ModuleState:
        """After a dense step; shapes as above."""
        policy = torch.full_like(readout[:, 0], COMPUTE, dtype=torch.uint8)
        computed = policy == COMPUTE
        age = torch.zeros_like(policy).float()
        frame_policy = policy[:1].clone()
        return cls(readout, outputs, logits, policy, age, computed, ~computed, frame_policy, ~computed[:1])

    def renew(self, other: ModuleState) -> bool:
        """Takes what another has, of the same layers, into the memory that is there; False where that is of
        other sizes."""
        pairs = [(self.outputs[conv], x) for conv, x in other.outputs.items()]
        for field in dataclasses.fields(self):
            if field.name != "outputs":
                pairs.append((getattr(self, field.name), getattr(other, field.name)))
        if any(kept.shape != x.shape for kept, x in pairs):
            return False
        for kept, x in pairs:
            kept.copy_(x)
        return True

    def decided(self, policy: Tensor) -> None:
        """After a sparse step under the policy."""
        self.age.add_(1).masked_fill_(policy == COMPUTE, 0)
        self.policy.copy_(policy)
        self.frame_policy.copy_(policy.amax(dim=0, keepdim=True))
        self.known.fill_(True)

    def rows(self, indices: list[int]) -> ModuleState:
        """The objects of the given rows; -1 is one that nothing is known of."""
        index = torch.tensor(indices, device=self.policy.device)

        def chosen(x: Tensor) -> Tensor:
            return x.index_select(0, index.clamp(min=0)).contiguous(memory_format=_format(x))

        outputs = {c: x if c.per_frame else chosen(x) for c, x in self.outputs.items()}
        state = ModuleState(
            chosen(self.readout),
            outputs,
            chosen(self.logits),
            chosen(self.policy),
            chosen(self.age),
            chosen(self.known),
            chosen(self.blank),
            self.frame_policy,
            self.frame_blank,
        )
        state.known[index < 0] = False
        return state

    def moved(self, down: int, right: int, height: int, width: int) -> ModuleState:
        """The same in a window that lies `down` and `right` cells further, of `height` x `width` cells;
        nothing is known of cells that come in."""

        def placed(x: Tensor) -> Tensor:
            return shifted(x, down, right, (height, width), x.shape[-2] // self.policy.shape[-2])

        outputs = {conv: placed(x) for conv, x in self.outputs.items()}
        return ModuleState(
            placed(self.readout),
            outputs,
            placed(self.logits),
            placed(self.policy),
            placed(self.age),
            placed(self.known),
            placed(self.blank),
            placed(self.frame_policy),
            placed(self.frame_blank),
        )


def shifted(x: Tensor, down: int, right: int, size: tuple[int, int], scale: int) -> Tensor:
    """(..., H, W) as seen through another window, 0 where nothing was.

    Args:
        down, right: how much further that lies, in cells.
        size: of it, in cells.
        scale: pixels of x in a cell's height and width.
    """
    down, right, height, width = (scale * n for n in (down, right, *size))
    out = torch.zeros((*x.shape[:-2], height, width), dtype=x.dtype, device=x.device)
    out = out.contiguous(memory_format=_format(x))
    top, left = max(0, down), max(0, right)
    bottom, end = min(x.shape[-2], down + height), min(x.shape[-1], right + width)
    if bottom > top and end > left:
        out[..., top - down : bottom - down, left - right : end - right] = x[..., top:bottom, left:end]
    return out


def _format(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.ndim == 4 else torch.contiguous_format


class OnePolicyRun:
    """Runs all convolutions of a module, each under the same policy of its pixels: the definition.

    Args:
        outputs: what is kept of them; changed in place.
        policy: (K, h, w) uint8, of cells; None: everything is computed.
    """

    def __init__(self, outputs: Outputs, policy: Tensor | None = None) -> None:
        self.outputs, self.policy = outputs, policy

    def convolve(self, conv: SparseConv2d, x: Tensor, shared: Tensor | None) -> Tensor:
        """One layer. What is a frame's is computed where it is for any object, and skipped where it is for
        all."""
        if self.policy is None:
            output = conv.dense(x, shared).contiguous(memory_format=torch.channels_last)
            self.outputs[conv] = output
            return output
        output = self.outputs[conv]
        policy = self.policy.amax(dim=0, keepdim=True) if conv.per_frame else self.policy
        policy = of_pixels(policy, output.shape[2] // policy.shape[1])
        REFERENCE.update(conv, x, shared, policy, output)
        return output.clone()


class ListedRun:
    """As `OnePolicyRun`, on a backend that lists what is computed: once for all layers.

    Args:
        state: whose outputs are changed in place; layers put those out.
        policy: (K, h, w) uint8, of cells.
    """

    def __init__(self, kernel: ModuleKernel, state: ModuleState, policy: Tensor) -> None:
        self.kernel, self.outputs = kernel, state.outputs
        if len(policy) == 1:  # one list; what was not skipped in both is written
            self.own = self.frame = kernel.list_cells(policy, state.policy.maximum(state.frame_policy))
        else:
            self.own = kernel.list_cells(policy, state.policy)
            self.frame = kernel.list_cells(policy.amax(dim=0, keepdim=True), state.frame_policy)

    def convolve(self, conv: SparseConv2d, x: Tensor, shared: Tensor | None) -> Tensor:
        """One layer."""
        output = self.outputs[conv]
        self.kernel.update_cells(conv, x, shared, self.frame if conv.per_frame else self.own, output)
        return output


def updated_cells(kept: Tensor, new: Tensor, policy: Tensor) -> Tensor:
    """What is kept under the policy (K, h, w) of a map of cells, 0 where it is skipped: (K, C, h, w)."""
    policy = policy.unsqueeze(1)
    kept = torch.where(policy == SKIP, torch.zeros_like(kept), kept)
    return torch.where(policy == COMPUTE, new, kept)


def updated_logits(state: ModuleState, logits: Tensor, policy: Tensor) -> Tensor:
    """What is kept of them under the policy: (K, H, W)."""
    policy = of_pixels(policy, CELL)
    kept = state.logits.masked_fill(policy == SKIP, CERTAIN)
    return torch.where(policy == COMPUTE, logits, kept)
