"""The plain network that the others are compared with."""

from __future__ import annotations

import torch

from spvos_cli.model.checkpoint import build_model
from spvos_cli.model.config import SPVOS
from spvos_cli.model.network import Memory
from spvos_cli.profiling.variants import EAGER, as_published, readout_of


@torch.no_grad()
def test_the_plain_network_gives_the_same_and_shares_nothing() -> None:
    torch.manual_seed(0)
    network = build_model(SPVOS).eval()
    query = network.encode_query(torch.randn(1, 3, 32, 48))
    readout = torch.randn(1, 2, 512, 2, 3)
    expected = network.decode(readout, query)
    memory = Memory(torch.randn(1, 60, 64), torch.randn(1, 2, 60, 512), None)
    matched = network.match(query, memory, top_k=4)
    inputs = []
    as_published(network)
    assert torch.allclose(network.match(query, memory, 4, readout_of(EAGER)), matched, atol=1e-4)
    network.decoder.compress.conv1.register_forward_pre_hook(lambda m, given: inputs.append(given[0].shape))
    assert torch.allclose(network.decode(readout, query), expected, atol=1e-4)
    assert inputs == [(2, 1024, 2, 3)]
