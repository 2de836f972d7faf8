"""What the network of clicks is told, and what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from spvos_cli.errors import InputError
from spvos_cli.model.checkpoint import build_model, load_checkpoint, load_clicks, save_weights
from spvos_cli.model.clicks import MAPS, ClickNetwork
from spvos_cli.model.config import CLICKS, LITE
from spvos_cli.model.said import RADIUS, Extent, PlacedClick, said_maps


def test_maps() -> None:
    previous = np.zeros((32, 48), bool)
    previous[:4] = True
    clicks = [PlacedClick(20, 10, True), PlacedClick(40.4, 30, False)]
    maps = said_maps(previous, Extent(8, 4, 24, 20), clicks)
    assert maps.shape == (MAPS, 32, 48)
    assert np.array_equal(maps[0], previous)
    for place, (x, y) in ((1, (20, 10)), (2, (40, 30))):
        assert maps[place, y, x] == maps[place, y, x - RADIUS] == 1
        assert maps[place, y, x - RADIUS - 1] == 0
    assert np.flatnonzero(maps[3].any(axis=0)).tolist() == list(range(8, 24))
    assert np.flatnonzero(maps[3].any(axis=1)).tolist() == list(range(4, 20))
    assert maps[4].max() == maps[4, 12, 16] == pytest.approx(7.5 / 8)
    assert not said_maps(previous, None, [])[1:].any()


@pytest.fixture(scope="module")
def network() -> ClickNetwork:
    """Whose blocks are no longer what they start as."""
    torch.manual_seed(0)
    network = ClickNetwork().eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))
    return network


def test_size(network: ClickNetwork) -> None:
    trunk = sum(parameter.numel() for parameter in network.trunk.parameters())
    assert sum(parameter.numel() for parameter in network.parameters()) - trunk == 441_580


def test_each_map_has_an_effect(network: ClickNetwork) -> None:
    """Far away, too: there is attention over the whole picture."""
    features = network.encode(torch.rand(1, 3, 64, 96))
    before = network(features, torch.zeros(1, MAPS, 64, 96))
    assert before.shape == (1, 64, 96)
    for number in range(MAPS):
        said = torch.zeros(1, MAPS, 64, 96)
        said[0, number, :8, :8] = 1
        change = (network(features, said) - before).abs()
        assert change[0, :16, :16].max() > 1e-3
        assert change[0, -8:, -8:].max() > 1e-6


def test_pictures_of_a_batch_do_not_see_each_other(network: ClickNetwork) -> None:
    images, said = torch.rand(2, 3, 64, 64), torch.rand(2, MAPS, 64, 64)
    both = network(network.encode(images), said)
    one = network(network.encode(images[1:]), said[1:])
    assert torch.allclose(both[1:], one, atol=1e-4)


def test_weights_come_back(network: ClickNetwork, tmp_path: Path) -> None:
    path = tmp_path / "clicks.safetensors"
    save_weights(network, path)
    loaded = load_clicks(path).state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in network.state_dict().items())
    with pytest.raises(InputError, match="which follows nothing"):
        load_checkpoint(path)
    save_weights(build_model(LITE), path)
    with pytest.raises(InputError, match="the weights of a lite network"):
        load_clicks(path)
    assert CLICKS.architecture == "clicks"
