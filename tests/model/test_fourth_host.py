"""Another network can be the host: what docs/ARCHITECTURE.md says it has to bring is enough for streams, a
long memory, gates, weight files and training."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spvos_cli.distributed import Processes
from spvos_cli.inference import sight
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.model import config as configs
from spvos_cli.model.checkpoint import build_model, load_checkpoint, save_weights
from spvos_cli.model.config import ModelConfig
from spvos_cli.model.encoders import Query
from spvos_cli.model.host import Host
from spvos_cli.model.hosts import HOSTS, Listed
from spvos_cli.model.layers import upsample
from spvos_cli.model.network import VOSNetwork
from spvos_cli.sparse.conv import LayerRunner, SparseConv2d
from spvos_cli.sparse.conv_unit import repeat_rows
from spvos_cli.sparse.policy import COMPUTE, REUSE, SKIP
from spvos_cli.training.clips.clip_loss import ClipLoss
from spvos_cli.training.options import PaperOptions
from spvos_cli.training.position import StepPosition
from tests.conftest import LENGTH

NAME, WIDE = "fourth", 8
Clip = tuple[list[np.ndarray], list[np.ndarray]]


class QueryEncoder(nn.Module):
    def __init__(self, key_channels: int) -> None:
        super().__init__()
        self.stem = SparseConv2d(3, WIDE, 3, role="other")
        self.branch = SparseConv2d(WIDE, WIDE, 3)
        self.key = SparseConv2d(WIDE, key_channels, 1, role="other")

    def forward(self, image: Tensor, run: LayerRunner | None = None) -> Query:
        x = F.avg_pool2d(self.stem(image, run), 4)
        f4 = x + self.branch(F.relu(x), run)
        f8, f16 = F.avg_pool2d(f4, 2), F.avg_pool2d(f4, 4)
        return Query(self.key(f16, run), f16, f16, f8, f4)


class MemoryEncoder(nn.Module):
    def __init__(self, value_channels: int) -> None:
        super().__init__()
        self.branch = SparseConv2d(WIDE + 1, value_channels, 3)

    def forward(self, image: Tensor, query: Query, masks: Tensor, run: LayerRunner | None = None) -> Tensor:
        labels = F.avg_pool2d(masks.flatten(0, 1).unsqueeze(1), 16)
        rows = torch.cat([repeat_rows(query.f16, len(labels)), labels], dim=1)
        return self.branch(rows, run).unflatten(0, masks.shape[:2])


class Decoder(nn.Module):
    def __init__(self, value_channels: int) -> None:
        super().__init__()
        self.branch = SparseConv2d(value_channels, WIDE, 3)
        self.predict = SparseConv2d(WIDE, 1, 3, role="other")

    def forward(self, readout: Tensor, query: Query, run: LayerRunner | None = None) -> Tensor:
        x = self.branch(readout.flatten(0, 1), run)
        x = upsample(F.relu(x), 4) + repeat_rows(query.f4, len(x))
        return upsample(self.predict(x, run), 4).squeeze(1).unflatten(0, readout.shape[:2])


class FourthNetwork(VOSNetwork):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.query_encoder = QueryEncoder(config.key_channels)
        self.memory_encoder = MemoryEncoder(config.value_channels)
        self.decoder = Decoder(config.value_channels)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> ModelConfig:
    """What is known of it when it is listed."""
    monkeypatch.setitem(HOSTS, NAME, Listed(__name__))
    monkeypatch.setitem(configs.CHOICES, "architecture", (*HOSTS, "clicks"))
    config = ModelConfig(NAME, key_channels=8, value_channels=4, mem_every=2, max_memory=2, top_k=9)
    monkeypatch.setattr(f"{__name__}.HOST", Host(FourthNetwork, config), raising=False)
    return config


@pytest.fixture
def network(host: ModelConfig) -> VOSNetwork:
    """With gates everywhere that decide by what they see."""
    torch.manual_seed(0)
    gates = {"method": "triple", "structure": "QDM", "gate_all": True, "strategy": "fully"}
    network = build_model(dataclasses.replace(host, **gates))
    for name, parameter in network.named_parameters():
        if ".gate." in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return network


def follow(segmenter: VideoSegmenter, clip: Clip, frames: range) -> list[np.ndarray]:
    return [segmenter.step(clip[0][t], clip[1][0] if t == 0 else None) for t in frames]


def test_it_follows_objects_and_goes_on_from_files(network: VOSNetwork, clip: Clip, tmp_path: Path) -> None:
    save_weights(network, tmp_path / "weights.safetensors")
    loaded = load_checkpoint(tmp_path / "weights.safetensors", {"strategy": "mixed"})
    loaded = loaded.for_inference(torch.device("cpu"), torch.float32)
    whole, broken, again = (VideoSegmenter(loaded, long_memory=9) for _ in range(3))
    expected = follow(whole, clip, range(LENGTH))
    found = follow(broken, clip, range(4))  # the next one is a memory frame, and dense
    assert broken.can_resume()
    again.restore(broken.state())
    found += follow(again, clip, range(4, LENGTH))
    assert np.array_equal(found, expected)
    torch.testing.assert_close(again.prob, whole.prob)
    assert whole.objects == [1, 2]
    policies = [policy for run in whole.runs for policy in run.policies.values()]
    assert {int(choice) for policy in policies for choice in policy.unique()} == {SKIP, REUSE, COMPUTE}


def test_one_gate_decides_for_all_of_its_decoder(
    host: ModelConfig, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it says that all is to be reused, an object stays as it was; by definition, as it brings nothing
    that computes single cells."""
    for name, never in (("SMALL", 0), ("SHRUNK", 0), ("GROWN", torch.inf)):
        monkeypatch.setattr(sight, name, never)
    torch.manual_seed(0)
    config = dataclasses.replace(host, method="triple", gate="module", mem_every=99)
    network = build_model(config)
    network.gate.last.bias.data = torch.tensor([0.0, 9.0, 0.0])
    network.decoder.predict.bias.data.fill_(9.0)  # so that the object is in sight
    segmenter = VideoSegmenter(network.for_inference(torch.device("cpu"), torch.float32))
    run = segmenter._stream.module_run
    segmenter.step(clip[0][0], clip[1][0] == 1)
    segmenter.step(clip[0][1])
    first = run.state.logits.clone()
    follow(segmenter, clip, range(2, 5))
    assert (run.policy == REUSE).all()
    assert torch.equal(run.state.logits, first)


def test_it_learns(network: VOSNetwork) -> None:
    """All of it, gates too."""
    options = PaperOptions()
    loss = ClipLoss(network, options, torch.float32, Processes())
    frames = torch.randint(256, (1, options.frames, 3, 32, 32), dtype=torch.uint8)
    ids = torch.zeros(1, options.frames, 32, 32, dtype=torch.uint8)
    ids[:, :, :16], ids[:, :, 20:] = 1, 2
    total, _ = loss(frames, ids, torch.tensor([2]), StepPosition(0, 0.5, range(1)))
    total.backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())
