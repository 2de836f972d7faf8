"""What gates decided, as a picture."""

from __future__ import annotations

import torch

from spvos_cli.inference.decisions import NOT_LOOKED_AT, decisions_of
from spvos_cli.inference.region import Window
from spvos_cli.inference.views import Placed
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.policy import COMPUTE, REUSE, SKIP


class Run:
    def __init__(self, policies: dict[SparseConv2d, torch.Tensor]) -> None:
        self.policies = policies


FOUND = Placed(torch.zeros(2, 32, 30), 0, 0, 30, 62)
WINDOW, SIZE = Window(0, 32, 32, 32), (32, 64)


def test_the_window_lies_where_it_was() -> None:
    """Padding is one pixel on each side; the convolution at stride 16 is
    outvoted by that at stride 4."""
    cells = torch.tensor([[[SKIP, SKIP], [COMPUTE, COMPUTE]]], dtype=torch.uint8)
    fine = torch.full((1, 8, 8), REUSE, dtype=torch.uint8)
    fine[:, :, :4] = SKIP
    dear, cheap = SparseConv2d(4, 4, 3), SparseConv2d(4, 4, 3)
    alone = decisions_of([Run({cheap: cells})], WINDOW, SIZE, FOUND)
    assert alone.shape == (30, 62)
    assert (alone[:, :31] == NOT_LOOKED_AT).all()
    assert (alone[:15, 31:] == SKIP).all()
    assert (alone[15:, 31:] == COMPUTE).all()
    both = decisions_of([Run({cheap: cells}), Run({dear: fine})], WINDOW, SIZE, FOUND)
    assert (both[:, 31:47] == SKIP).all()
    assert (both[:, 47:] == REUSE).all()


def test_a_dense_frame_has_none() -> None:
    assert decisions_of([Run({})], WINDOW, SIZE, FOUND) is None
    assert decisions_of([], WINDOW, SIZE, FOUND) is None
