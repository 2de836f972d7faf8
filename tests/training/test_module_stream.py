"""The gate of a whole module learns from what its decisions do to labels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from spvos_cli.data.folders import davis_sequences
from spvos_cli.errors import InputError
from spvos_cli.inference import sight
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.model.checkpoint import build_model, load_checkpoint
from spvos_cli.model.hosts import HOSTS
from spvos_cli.model.network import VOSNetwork
from spvos_cli.resources import shipped_weights
from spvos_cli.sparse.module_gate import CELL
from spvos_cli.sparse.policy import COMPUTE, REUSE, SKIP
from spvos_cli.training.options import LiteOptions, recipe_options
from spvos_cli.training.parameters import freeze, parameter_groups
from spvos_cli.training.position import StepPosition
from spvos_cli.training.recipes import make_loss
from spvos_cli.training.streams.module_stream import ModuleLearningStream, errors_beside, label_errors
from spvos_cli.training.streams.stream_loss import StreamLoss, stream_loss
from tests.hosts import small
from tests.training.conftest import OPTIONS, assert_as_at_test_time

STREAM = recipe_options("stream", iterations=4, batch_size=2, side=64)
POSITION = StepPosition(0, 0.0, range(2))


@pytest.fixture(autouse=True)
def small_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is followed here would all count as small, and as going or coming, as the frames are noise."""
    for name, never in (("SMALL", 0), ("SHRUNK", 0), ("GROWN", torch.inf)):
        monkeypatch.setattr(sight, name, never)


def gated(weights: Path) -> VOSNetwork:
    """With a gate that decides differently from cell to cell."""
    torch.manual_seed(0)
    network = load_checkpoint(weights, {"method": "triple", "gate": "module"}, fresh_gates=True)
    for conv in (network.gate.first, network.gate.second, network.gate.last):
        torch.nn.init.normal_(conv.weight, std=(2 / conv.weight[0].numel()) ** 0.5)
        torch.nn.init.zeros_(conv.bias)
    return network


def batch() -> tuple[torch.Tensor, ...]:
    frames = torch.rand(2, 5, 3, 64, 64, generator=torch.Generator().manual_seed(0)).mul(255).byte()
    ids = torch.zeros(2, 64, 64, dtype=torch.uint8)
    ids[:, 16:48, 16:48] = 1
    return frames, ids, torch.tensor([True, True])


def test_label_errors_by_hand() -> None:
    """Two cells; the object is half of the second, where all of it was before."""
    dense, kept = torch.full((1, CELL, 2 * CELL), -50.0), torch.full((1, CELL, 2 * CELL), -50.0)
    dense[:, : CELL // 2, CELL:] = 50
    kept[:, :, CELL:] = 50
    errors = label_errors(dense, kept)
    area = CELL**2  # the least that counts; the object has half of it
    half = CELL**2 / 2 / area
    assert errors[0, SKIP, 0].tolist() == pytest.approx([0, half])
    assert errors[0, REUSE, 0].tolist() == pytest.approx([0, half])
    assert not errors[0, COMPUTE].any()
    unsure = label_errors(torch.zeros(1, CELL, CELL), torch.full((1, CELL, CELL), -50.0))
    assert unsure[0, :, 0, 0].tolist() == pytest.approx([0.125, 0.125, 0])  # no label, but half a probability


def test_errors_are_charged_to_what_was_not_computed_beside_them() -> None:
    """A row of five cells, of which the third and the fourth were computed; half of the third is wrong."""
    dense = torch.full((1, CELL, 5 * CELL), -50.0)
    dense[:, :, : 3 * CELL] = 50
    found = dense.clone()
    found[:, : CELL // 2, 2 * CELL : 3 * CELL] = -50
    computed = torch.tensor([[[False, False, True, True, False]]])
    charged = errors_beside(dense, found, computed)[0, 0]
    assert charged.tolist() == pytest.approx([0, 1 / 6, 0, 0, 0])  # half a cell of an object of three
    inside = torch.tensor([[[False, True, True, True, False]]])
    assert not errors_beside(dense, found, inside).any()
    alone = torch.tensor([[[False, False, True, False, False]]])
    assert errors_beside(dense, found, alone)[0, 0].tolist() == pytest.approx([0, 1 / 12, 0, 1 / 12, 0])


def test_a_stream_that_learns_is_one_of_test_time(davis: Path) -> None:
    start, (sequence, *_) = shipped_weights("lite"), davis_sequences(davis, 2016, "train")
    stream = ModuleLearningStream(gated(start))
    segmenter = VideoSegmenter(gated(start).for_inference(torch.device("cpu"), torch.float32), region=False)
    assert_as_at_test_time(stream, segmenter, sequence)


def test_only_the_gate_learns_and_it_learns_to_compute_less(start: Path) -> None:
    network = freeze(gated(start), train_trunk=False, learn="gates")
    before = {name: x.clone() for name, x in network.state_dict().items()}
    loss = StreamLoss(network, STREAM)
    optimizer = torch.optim.Adam(parameter_groups(network, STREAM)[0]["params"], 1e-2)
    densities = []
    for _ in range(12):
        value, figures = loss(*batch(), POSITION)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        densities.append(figures["density"].item())
    changed = {name for name, x in network.state_dict().items() if not torch.equal(x, before[name])}
    assert changed
    assert all(name.startswith("gate.") for name in changed)
    assert densities[-1] < densities[0] / 2


@pytest.mark.parametrize("host", HOSTS)
def test_the_gate_of_every_host_learns(host: str) -> None:
    network = build_model(small(host, method="triple", gate="module", mem_every=3))
    torch.nn.init.normal_(network.gate.last.weight, std=0.1)
    value, figures = StreamLoss(freeze(network, train_trunk=False, learn="gates"), STREAM)(*batch(), POSITION)
    value.backward()
    assert figures["density"] > 0
    assert all(p.grad is not None and p.grad.any() for p in network.gate.parameters())


def test_a_gate_that_computes_everything_is_no_distance_away(start: Path) -> None:
    network = load_checkpoint(start, {"method": "triple", "gate": "module"}, fresh_gates=True)
    _, figures = StreamLoss(network, STREAM)(*batch(), POSITION)
    assert figures["distance"] < 1e-6
    assert figures["density"] == 1
    network.gate.last.bias.data = torch.tensor([9.0, 0.0, 0.0])
    _, figures = StreamLoss(network, STREAM)(*batch(), POSITION)
    assert figures["density"] < 0.5  # hidden objects are looked for everywhere, so not 0


def test_other_recipes_and_more_than_the_gate_are_refused(start: Path) -> None:
    network = gated(start)
    with pytest.raises(InputError, match="--recipe stream"):
        make_loss(OPTIONS, network, torch.float32, None)
    assert isinstance(OPTIONS, LiteOptions)
    more = recipe_options("stream", learn="gated")
    with pytest.raises(InputError, match="--learn gates"):
        stream_loss(network, more, torch.float32, None, None)
