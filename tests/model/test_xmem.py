"""The dense network is XMem: an official checkpoint gives what the official code gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from spvos_cli.inference.stream import Stream
from spvos_cli.model.checkpoint import build_model, load_checkpoint
from spvos_cli.model.network import VOSNetwork
from spvos_cli.model.xmem.matching import similarity
from tests.hosts import small
from tests.oracles.weights import HERE, checkpoint, video

TOLERANCE = 1e-3  # what the two oracles differ by is 3e-3


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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prob", "prob_long_term"])
def test_probabilities(published: Path, name: str) -> None:
    """Without long-term memory, and with: at most four working frames, of which two stay."""
    long = name == "prob_long_term"
    memory = {"long_memory": 200 if long else 0, "prototypes": 16}
    network = load_checkpoint(published, memory).for_inference(torch.device("cpu"), torch.float32)
    found = probabilities(network, max_memory=3 if long else 100)
    expected = torch.from_numpy(np.load(HERE / "xmem.npz")[name].astype(np.float32))
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def random_keys(pixels: int, channels: int) -> torch.Tensor:
    """Key, shrinkage and selection: (1, pixels, 2 * channels + 1)."""
    parts = torch.randn(1, pixels, channels), 1 + torch.rand(1, pixels, 1), torch.rand(1, pixels, channels)
    return torch.cat(parts, dim=2)


def test_similarity() -> None:
    """XMem's Eq. (3), one pair at a time."""
    query, memory = random_keys(3, 4), random_keys(5, 4)
    found = similarity(query, memory)
    for i in range(3):
        for j in range(5):
            distance = (query[0, i, 5:] * (memory[0, j, :4] - query[0, i, :4]).square()).sum()
            torch.testing.assert_close(found[0, i, j], -memory[0, j, 4] * distance / 2)


def test_prototypes_read_all_that_they_stand_for() -> None:
    """Values and shrinkage, with the affinities of their own keys."""
    network, key, value = build_model(small("xmem")), random_keys(6, 64), torch.randn(1, 2, 6, 3)
    chosen = torch.tensor([1, 4])
    keys, values = network.prototypes(key, value, chosen)
    affinity = similarity(key[:, chosen], key).softmax(dim=2)
    torch.testing.assert_close(values, torch.einsum("bpn,bknc->bkpc", affinity, value))
    torch.testing.assert_close(keys[..., 64:65], affinity @ key[..., 64:65])
    for part in (slice(64), slice(65, None)):
        torch.testing.assert_close(keys[..., part], key[:, chosen][..., part])


def test_the_decoder_leaves_the_hidden_state_of_memory_frames_alone() -> None:
    """The deep update makes it; other frames change it, and it changes the masks."""
    network = build_model(small("xmem"))
    query = network.encode_query(torch.rand(1, 3, 32, 48))
    readout, hidden = torch.randn(1, 2, 16, 2, 3), torch.randn(2, 8, 2, 3)
    with torch.no_grad():
        logits, kept = network.decode_step(readout, query, hidden, memory_frame=True)
        same, updated = network.decode_step(readout, query, hidden)
        others, _ = network.decode_step(readout, query, None)
        _, deep = network.encode_memory_step(
            torch.rand(1, 3, 32, 48), query, torch.rand(1, 2, 32, 48), hidden
        )
    assert torch.equal(kept, hidden)
    assert torch.equal(logits, same)
    for changed in (updated, deep):
        assert changed.shape == hidden.shape
        assert not torch.equal(changed, hidden)
    assert not torch.equal(logits, others)
