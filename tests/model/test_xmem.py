"""The dense network is XMem: an official checkpoint gives what the official code gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from spvos_cli.inference.stream import Stream
from spvos_cli.model.checkpoint import load_checkpoint
from spvos_cli.model.network import VOSNetwork
from tests.oracles.weights import HERE, checkpoint, video

TOLERANCE = 2e-3


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "XMem.pth"
    torch.save(checkpoint("xmem"), path)
    return path


def probabilities(network: VOSNetwork, max_memory: int) -> torch.Tensor:
    frames, ids = video(14, 90, 150, seed=1)
    masks = {i: torch.from_numpy((ids == i).astype(np.float32)) for i in (1, 2)}
    stream = Stream(network, mem_every=2, top_k=30, max_memory=max_memory)
    prob = [stream.step(frame, None if t else masks) for t, frame in enumerate(frames)]
    return torch.stack(prob)


@pytest.mark.parametrize("name", ["prob", "prob_long_term"])
def test_probabilities(published: Path, name: str) -> None:
    """Without long-term memory, and with: at most four working frames, of which two stay."""
    long = name == "prob_long_term"
    memory = {"long_memory": 200 if long else 0, "prototypes": 16}
    network = load_checkpoint(published, memory).for_inference(torch.device("cpu"), torch.float32)
    found = probabilities(network, max_memory=3 if long else 100)
    expected = torch.from_numpy(np.load(HERE / "xmem.npz")[name].astype(np.float32))
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)
