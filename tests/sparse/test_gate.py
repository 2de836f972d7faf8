"""Where gates start."""

from __future__ import annotations

import torch

from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.gate import GATES, TripleGate
from spvos_cli.sparse.gate_base import Previous
from spvos_cli.training.clips.gumbel import GumbelNoise


def test_a_fresh_triple_gate_computes_everything() -> None:
    """Also under the noise of training, but for e^5 to 2."""
    torch.manual_seed(0)
    conv = SparseConv2d(3, 4, 3)
    gate = TripleGate(conv)
    assert gate.bias.tolist() == [0, 0, 5]
    assert not gate.weight.any()
    x = torch.randn(2, 3, 40, 40)
    previous = Previous(torch.randn_like(x), conv.convolve(x))
    mixed = gate.mix(conv, x, previous, 1.0, GumbelNoise(0, 0, [0, 1])(0, 0))
    assert mixed.computed.mean() > 0.97
    assert (gate.choices(conv, x, previous).chosen == 2).all()


def test_gates_have_the_shape_of_their_convolution() -> None:
    conv = SparseConv2d(6, 5, 3, 2)
    shapes = {method: tuple(gate(conv).weight.shape) for method, gate in GATES.items()}
    assert shapes == {"static": (1, 6, 3, 3), "residual": (1, 6, 3, 3), "triple": (3, 12, 3, 3)}
    assert all(gate(conv).stride == (2, 2) for gate in GATES.values())
