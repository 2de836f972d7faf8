"""The dense network is STCN: an official checkpoint gives what the official code gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from spvos_cli.inference.stream import Stream
from spvos_cli.model.checkpoint import load_checkpoint
from spvos_cli.model.layers import pad_to_multiple, unpad
from spvos_cli.model.network import VOSNetwork
from tests.oracles.weights import HERE, stcn_checkpoint, video

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> VOSNetwork:
    path = tmp_path_factory.mktemp("weights") / "stcn.pth"
    torch.save(stcn_checkpoint(), path)
    return load_checkpoint(path)


@pytest.fixture(scope="module")
def oracle() -> dict[str, np.ndarray]:
    return dict(np.load(HERE / "stcn.npz"))


def first_masks(ids: np.ndarray) -> dict[int, torch.Tensor]:
    return {i: torch.from_numpy((ids == i).astype(np.float32)) for i in (1, 2)}


def test_parameters(network: VOSNetwork) -> None:
    assert sum(p.numel() for p in network.parameters()) == 54_434_180


@torch.inference_mode()
def test_features(network: VOSNetwork, oracle: dict[str, np.ndarray]) -> None:
    frames, ids = video(7, 90, 150)
    image, padding = pad_to_multiple(network.normalize(frames[:1]))
    masks, _ = pad_to_multiple(torch.stack(list(first_masks(ids).values()))[None])
    query = network.encode_query(image)
    value = network.encode_memory(image, query, masks)
    assert padding == tuple(oracle["pad"])
    np.testing.assert_allclose(query.key, oracle["key"], atol=TOLERANCE)
    np.testing.assert_allclose(query.value, oracle["query_value"], atol=TOLERANCE)
    np.testing.assert_allclose(query.f8.mean(dim=(2, 3)), oracle["f8_mean"], atol=TOLERANCE)
    np.testing.assert_allclose(query.f4.mean(dim=(2, 3)), oracle["f4_mean"], atol=TOLERANCE)
    np.testing.assert_allclose(value[0], oracle["memory_value"], atol=TOLERANCE)


@pytest.mark.parametrize("folded", [False, True])
def test_probabilities(
    network: VOSNetwork, oracle: dict[str, np.ndarray], tmp_path: Path, folded: bool
) -> None:
    if folded:
        torch.save(stcn_checkpoint(), tmp_path / "stcn.pth")
        network = load_checkpoint(tmp_path / "stcn.pth").for_inference(torch.device("cpu"), torch.float32)
    frames, ids = video(7, 90, 150)
    stream = Stream(network, mem_every=3, top_k=20, max_memory=100)
    prob = [stream.step(frame, first_masks(ids) if t == 0 else None) for t, frame in enumerate(frames)]
    expected = unpad(torch.from_numpy(oracle["prob"]), tuple(oracle["pad"]))
    np.testing.assert_allclose(torch.stack(prob, dim=1), expected, atol=TOLERANCE)
