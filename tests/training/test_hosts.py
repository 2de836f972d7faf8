"""Every host learns from clips, and what only some have learns too."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from spvos_cli.distributed import Processes
from spvos_cli.errors import InputError
from spvos_cli.model.checkpoint import build_model
from spvos_cli.model.hosts import HOSTS
from spvos_cli.sparse.gate import TripleGate
from spvos_cli.training.checks import check_uses
from spvos_cli.training.clips.clip_loss import ClipLoss
from spvos_cli.training.clips.unroll import memory_frames_of_clip
from spvos_cli.training.job import TrainingJob
from spvos_cli.training.options import PaperOptions
from spvos_cli.training.position import StepPosition
from spvos_cli.training.reports import Reports
from spvos_cli.training.state import read_state
from tests.hosts import small
from tests.training.conftest import break_off, dataset_of, first_batch, make_trainer

PAPER = PaperOptions(frames=4, side=64, batch_size=1, checkpoint_activations=True)


def gradients(host: str, options: PaperOptions, iteration: int) -> dict[str, torch.Tensor]:
    """Of all parameters that get one, in one clip of noise with two objects."""
    torch.manual_seed(0)
    network = build_model(small(host, method="triple", structure="QD"))
    for gate in network.modules():
        if isinstance(gate, TripleGate):
            torch.nn.init.normal_(gate.weight, std=0.05)
            torch.nn.init.normal_(gate.bias, std=0.05)
    loss = ClipLoss(network, options, torch.float32, Processes())
    ids = torch.zeros(1, options.frames, 32, 32, dtype=torch.uint8)
    ids[:, :, :16], ids[:, :, 20:] = 1, 2
    frames = torch.randint(256, (1, options.frames, 3, 32, 32), dtype=torch.uint8)
    total, _ = loss(frames, ids, torch.tensor([2]), StepPosition(iteration, 0.5, range(1)))
    total.backward()
    return {n: p.grad for n, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("host", HOSTS)
def test_recomputed_activations_change_no_gradient(host: str) -> None:
    found = gradients(host, PAPER, 0)
    expected = gradients(host, dataclasses.replace(PAPER, checkpoint_activations=False), 0)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-3)


def test_hidden_states_learn_whichever_frames_are_remembered() -> None:
    """The first and one of the next two; what the frame between or after them leaves is read."""
    network = build_model(small("xmem"))
    chosen = {tuple(memory_frames_of_clip(network, 0, iteration)) for iteration in range(20)}
    assert chosen == {(0, 1), (0, 2)}
    first = {memory_frames_of_clip(network, 0, i): i for i in reversed(range(20))}
    for iteration in first.values():
        found = gradients("xmem", PAPER, iteration)
        for part in ("decoder.hidden_update.g4", "decoder.hidden_update.state.transform"):
            assert found[f"{part}.weight"].abs().max() > 0
        assert found["memory_encoder.hidden_update.transform.weight"].abs().max() > 0


def test_clips_in_which_hidden_states_would_not_learn() -> None:
    with pytest.raises(InputError, match=r"--frames 3: the xmem network.*--frames 4 or more"):
        check_uses(TrainingJob(model="xmem"), PaperOptions(), small("xmem"))
    check_uses(TrainingJob(model="xmem"), PaperOptions(frames=4), small("xmem"))


@pytest.mark.slow
@pytest.mark.parametrize("host", ["spvos", "xmem"])
def test_a_resumed_run_equals_an_unbroken_one(davis: Path, tmp_path: Path, host: str) -> None:
    options = PaperOptions(frames=4, side=64, batch_size=1, iterations=3, held_out=())
    config = small(host, method="triple")
    clips = dataset_of(davis, options, config)
    whole = make_trainer(tmp_path / "whole", options, config)
    whole.run(clips, 0, Reports(lambda row: None))
    break_off(make_trainer(tmp_path / "broken", options, config), clips, 2)
    resumed = make_trainer(tmp_path / "broken", options, config)
    resumed.restore(read_state(tmp_path / "broken").trainer)
    resumed.run(clips, 0, Reports(lambda row: None))
    for one, other in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "rate"), [("dense", 1e-4), ("triple", 5e-5)])
def test_xmem_learns(davis: Path, tmp_path: Path, method: str, rate: float) -> None:
    """On the same two clips, whose memory frames change from step to step."""
    options = PaperOptions(
        frames=4, side=64, batch_size=2, iterations=400, learning_rate=rate, warmup=0.0, held_out=()
    )
    config = small("xmem", method=method)
    trainer = make_trainer(tmp_path / "run", options, config)
    batch = first_batch(dataset_of(davis, options, config), trainer)
    losses = [trainer.step(*batch)["entropy"].item() for _ in range(16)]
    assert losses[-1] < 0.7 * losses[0]
