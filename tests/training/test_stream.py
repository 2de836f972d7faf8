"""Gates that learn from streams as at test time."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from spvos_cli.data.clips import ClipKey
from spvos_cli.data.folders import davis_sequences
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.model.checkpoint import build_model, load_checkpoint, save_weights
from spvos_cli.model.network import VOSNetwork
from spvos_cli.sparse.gate import GATES
from spvos_cli.sparse.plan import gated_convolutions
from spvos_cli.training.losses import bernoulli_divergence
from spvos_cli.training.metrics import Metrics
from spvos_cli.training.options import recipe_options
from spvos_cli.training.parameters import freeze
from spvos_cli.training.position import StepPosition
from spvos_cli.training.reports import Reports
from spvos_cli.training.state import read_state
from spvos_cli.training.streams.learning_stream import LearningStream, area_weight
from spvos_cli.training.streams.stream_loss import StreamLoss
from spvos_cli.training.trainer import Trainer
from tests.training.conftest import SMALL, assert_as_at_test_time, break_off, dataset_of, trainer_of

OPTIONS = recipe_options("stream", iterations=4, batch_size=2, side=64)
FIRST = StepPosition(0, 0.0, range(2))
SHORT = "--recipe stream --iterations 2 --batch-size 2 --side 64 --workers 0 --held-out two"


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small network whose decoder's branches do something, which they do not where training
    starts."""
    torch.manual_seed(0)
    network = build_model(SMALL)
    decoder = network.decoder
    for block in (decoder.compress, decoder.up8.block, decoder.up4.block):
        torch.nn.init.normal_(block.conv2.weight, std=0.3)
    path = tmp_path_factory.mktemp("busy") / "busy.safetensors"
    save_weights(network, path)
    return path


def gated(weights: Path, method: str) -> VOSNetwork:
    """With gates that decide differently from pixel to pixel."""
    torch.manual_seed(0)
    overrides = {"method": method, "structure": "D"}
    network = load_checkpoint(weights, overrides, fresh_gates=True)
    for conv in gated_convolutions(network, "D", gate_all=False).values():
        torch.nn.init.normal_(conv.gate.weight, std=0.2)
        torch.nn.init.normal_(conv.gate.bias, std=0.2)
    return network


@pytest.mark.parametrize("method", GATES)
def test_a_stream_that_learns_is_one_of_test_time(method: str, busy: Path, davis: Path) -> None:
    network, sequence = gated(busy, method), davis_sequences(davis, 2016, "train")[0]
    stream = LearningStream(network)
    segmenter = VideoSegmenter(gated(busy, method).for_inference(torch.device("cpu"), torch.float32))
    assert_as_at_test_time(stream, segmenter, sequence)


def test_gates_that_compute_everything_are_no_distance_away(busy: Path, davis: Path) -> None:
    """Those that skip everything are; and only gates get a gradient."""
    network = load_checkpoint(busy, {"method": "triple", "structure": "D"}, fresh_gates=True)
    frames = torch.rand(2, 5, 3, 64, 64).mul(255).byte()
    ids = torch.zeros(2, 64, 64, dtype=torch.uint8)
    ids[:, 16:48, 16:48] = 1
    batch = frames, ids, torch.tensor([True, True])
    loss, figures = StreamLoss(network, OPTIONS)(*batch, FIRST)
    assert figures["distance"] < 1e-7
    assert figures["density"] == 1
    network.requires_grad_(True)
    loss.backward()
    changed = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    assert changed
    assert all(".gate." in name for name in changed)
    for conv in gated_convolutions(network, "D", gate_all=False).values():
        conv.gate.bias.data = torch.tensor([9.0, 0.0, 0.0])
    _, figures = StreamLoss(network, OPTIONS)(*batch, FIRST)
    assert figures["distance"] > 1e-5
    assert figures["density"] == 0


@pytest.mark.parametrize("method", GATES)
def test_a_decoder_learns_to_say_with_gates_what_it_said_without(method: str, busy: Path) -> None:
    """Nothing but the decoder learns, and not what its teacher says."""
    torch.manual_seed(0)
    network = freeze(gated(busy, method), train_trunk=False, learn="gated")
    before = {name: x.clone() for name, x in network.state_dict().items()}
    loss = StreamLoss(network, dataclasses.replace(OPTIONS, learn="gated"))
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], 1e-3)
    frames, ids = torch.rand(2, 5, 3, 64, 64).mul(255).byte(), torch.zeros(2, 64, 64, dtype=torch.uint8)
    ids[:, 16:48, 16:48] = 1
    distances = []
    for _ in range(15):
        total, figures = loss(frames, ids, torch.tensor([True, True]), FIRST)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        distances.append(figures["distance"].item())
    assert distances[-1] < 0.75 * distances[0]
    changed = {name for name, x in network.state_dict().items() if not torch.equal(x, before[name])}
    assert all(name.startswith("decoder.") for name in changed)
    assert "decoder.up4.block.conv1.weight" in changed
    assert all(torch.equal(x, before[f"decoder.{name}"]) for name, x in loss.teacher.state_dict().items())


def test_lower_precision(busy: Path) -> None:
    """The same regret and distance in bfloat16, nearly; and gates get a gradient."""
    figures = []
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(0)
        network = freeze(gated(busy, "triple"), train_trunk=False, learn="gates")
        loss = StreamLoss(network, OPTIONS, dtype)
        frames, ids = torch.rand(2, 5, 3, 64, 64).mul(255).byte(), torch.zeros(2, 64, 64, dtype=torch.uint8)
        ids[:, 16:48, 16:48] = 1
        total, found = loss(frames, ids, torch.tensor([True, True]), FIRST)
        total.backward()
        assert any(p.grad is not None and p.grad.any() for p in network.parameters())
        figures.append({name: figure.item() for name, figure in found.items()})
    exact, rounded = figures
    assert rounded["density"] == pytest.approx(exact["density"], abs=0.05)
    assert rounded["regret"] == pytest.approx(exact["regret"], rel=0.2)
    assert exact["regret"] != rounded["regret"]


def test_curves_show_what_streams_are_trained_for(tmp_path: Path) -> None:
    """A curve for each of the figures."""
    heights = []
    for names in (["density"], ["density", "regret", "distance"]):
        metrics = Metrics(tmp_path / str(len(names)), 0)
        metrics.add({"iteration": 1, **dict.fromkeys(names, 0.5)})
        drawn = metrics.draw()
        assert drawn
        heights.append(Image.open(drawn).height)
    assert heights[1] == pytest.approx(3 * heights[0], rel=0.02)


def test_small_objects_count_by_their_size() -> None:
    prob = torch.zeros(1, 3, 20, 50)
    prob[0, 0, :10, :10], prob[0, 1, :5, :10], prob[0, 2, 0, 0] = 1, 1, 1
    counts = area_weight(prob).flatten()
    assert counts[1] == 2 * counts[0]
    assert counts[2] < 50 * counts[1]  # what is gone does not outweigh everything


def test_divergence() -> None:
    logits = torch.tensor([0.0, 2.0, -3.0], requires_grad=True)
    same = bernoulli_divergence(logits, logits.detach().sigmoid())
    torch.testing.assert_close(same, torch.zeros(3), atol=1e-6, rtol=0)
    far = bernoulli_divergence(torch.tensor([0.0]), torch.tensor([1.0]))
    torch.testing.assert_close(far, torch.tensor([2.0]).log())


def test_command(spvos_train, davis: Path, start: Path) -> None:
    command = f"{SHORT} --method triple --sparse D --dataset davis --data {davis}"
    code, out, err = spvos_train(f"{command} --init {start} --json")
    assert code == 0, err
    assert set(json.loads(out)) > {"J&F-Mean", "J&F-Start"}
    before = load_checkpoint(start).state_dict()
    after = load_checkpoint(Path("spvos_run/weights.safetensors"))
    assert after.config.method == "triple"
    assert all(torch.equal(before[name], after.state_dict()[name]) for name in before)
    assert spvos_train(f"{command} --resume")[0] == 0


def test_command_with_a_teacher(spvos_train, davis: Path, start: Path, busy: Path) -> None:
    command = f"{SHORT} --method triple --sparse D --learn gated --dataset davis --data {davis}"
    code, _, err = spvos_train(f"{command} --init {start} --teacher {busy}")
    assert code == 0, err
    before, taught = load_checkpoint(start).state_dict(), load_checkpoint(busy).state_dict()
    after = load_checkpoint(Path("spvos_run/weights.safetensors")).state_dict()
    assert all(torch.equal(x, after[n]) for n, x in before.items() if not n.startswith("decoder."))
    name = "decoder.predict.weight"
    assert not torch.equal(before[name], after[name])
    held = read_state(Path("spvos_run")).trainer["loss"]
    assert torch.equal(held["teacher.predict.weight"], taught[name])


def test_a_teacher_of_another_shape(spvos_train, davis: Path, start: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_weights(build_model(dataclasses.replace(SMALL, decoder_channels=(8, 16, 8))), other)
    command = f"{SHORT} --method triple --sparse D --learn gated --dataset davis --data {davis}"
    code, _, err = spvos_train(f"{command} --init {start} --teacher {other}")
    assert code == 2
    assert "decoder (8, 16, 8)" in err.splitlines()[-1]


def make_stream_trainer(folder: Path, busy: Path, learn: str) -> Trainer:
    options = dataclasses.replace(OPTIONS, iterations=8, learning_rate=1e-2, held_out=(), learn=learn)
    return trainer_of(gated(busy, "triple"), options, folder)


@pytest.mark.parametrize("learn", ["gates", "gated"])
def test_resumed_run_is_the_unbroken_one(davis: Path, busy: Path, tmp_path: Path, learn: str) -> None:
    """Streams, price, teacher and weights go on exactly where they stood, in the middle of a video."""
    whole, broken = (make_stream_trainer(tmp_path / name, busy, learn) for name in ("whole", "broken"))
    data = dataset_of(davis, whole.options)
    whole.run(data, 0, Reports(lambda row: None))
    break_off(broken, data, 2)
    assert not data[ClipKey(2 * 2, 0.0)].starts
    resumed = make_stream_trainer(tmp_path / "broken", busy, learn)
    resumed.restore(read_state(tmp_path / "broken").trainer)
    assert resumed.iteration == 2
    assert resumed.loss.price.log_price.isfinite()
    resumed.run(data, 0, Reports(lambda row: None))
    ours, theirs = (trainer.network.state_dict() for trainer in (whole, resumed))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("--method dense --dataset davis --data {davis}", "a network without gates"),
        ("--method triple --sparse QD --dataset davis --data {davis}", "gates in QD"),
        ("--method triple --sparse D --learn all --dataset davis --data {davis}", "--learn all"),
        ("--method triple --sparse D --teacher {davis} --dataset davis --data {davis}", "--learn gated"),
        (
            "--method triple --sparse D --held-out none --dataset stills --data {stills}",
            "nothing but stills",
        ),
    ],
)
def test_bad_input(spvos_train, davis: Path, stills: Path, start: Path, arguments: str, named: str) -> None:
    code, out, err = spvos_train(f"{SHORT} --init {start} {arguments.format(davis=davis, stills=stills)}")
    assert code == 2
    assert out == ""
    assert named in err.splitlines()[-1]
