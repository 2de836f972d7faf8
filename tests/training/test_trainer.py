"""Training learns, goes on exactly where it stood, and stops cleanly."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from spvos_cli.data.clips import Clip, ClipDataset, ClipKey
from spvos_cli.errors import InputError, RunError, Terminated
from spvos_cli.model.checkpoint import build_model, load_checkpoint
from spvos_cli.training.learner import Figures
from spvos_cli.training.options import LiteOptions, PaperOptions, recipe_options
from spvos_cli.training.parameters import freeze, parameter_groups
from spvos_cli.training.reports import Reports
from spvos_cli.training.schedule import rate_share
from spvos_cli.training.state import read_state
from tests.training.conftest import OPTIONS, SMALL, break_off, dataset_of, first_batch, make_trainer

PAPER = PaperOptions()


def floats(figures: Figures) -> dict[str, float]:
    return {name: figure.item() for name, figure in figures.items()}


def quiet(rows: list | None = None, every: int = 1, **options) -> Reports:
    return Reports(rows.append if rows is not None else lambda row: None, every=every, **options)


def test_loss_falls(davis: Path, tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, iterations=400, warmup=0.0, hold=0.0, held_out=())
    trainer = make_trainer(tmp_path / "run", options)
    batch = first_batch(dataset_of(davis, options), trainer)
    losses = [trainer.step(*batch)["entropy"].item() for _ in range(25)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_run_equals_an_unbroken_one(davis: Path, tmp_path: Path, workers: int) -> None:
    clips, rows = dataset_of(davis, OPTIONS), []
    whole = make_trainer(tmp_path / "whole")
    whole.run(clips, workers, quiet(rows))
    break_off(make_trainer(tmp_path / "broken"), clips, 3)
    resumed, resumed_rows = make_trainer(tmp_path / "broken"), []
    resumed.restore(read_state(tmp_path / "broken").trainer)
    assert resumed.iteration == 3
    resumed.run(clips, workers, quiet(resumed_rows))
    for one, other in ((whole.network, resumed.network), (whole.result, resumed.result)):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    without_time = [{n: v for n, v in row.items() if n != "seconds"} for row in rows[3:]]
    assert without_time == [{n: v for n, v in row.items() if n != "seconds"} for row in resumed_rows]


def test_the_start_has_its_share(davis: Path, tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, start_share=0.25, learning_rate=0.01)
    trainer = make_trainer(tmp_path / "run", options)
    start = [parameter.clone() for parameter in trainer.network.parameters()]
    trainer.run(dataset_of(davis, options), 0, quiet())
    expected = [
        torch.lerp(mean, first, 0.25)
        for mean, first in zip(trainer.learner.averaged.parameters(), start, strict=True)
    ]
    resumed = make_trainer(tmp_path / "run", options)
    next(resumed.learner.network.parameters()).data += 1  # another start, of which nothing may be left
    resumed.restore(read_state(tmp_path / "run").trainer)
    written = load_checkpoint(tmp_path / "run" / "weights.safetensors")
    for network in (trainer.result, resumed.result, written):
        torch.testing.assert_close(list(network.parameters()), expected)
    assert not torch.equal(expected[0], start[0]) or not torch.equal(expected[-1], start[-1])


def test_accumulated_parts_make_one_step(davis: Path, tmp_path: Path) -> None:
    """For the cross entropy: the means of the Dice distance and of the density are over a part."""
    options = dataclasses.replace(OPTIONS, batch_size=4, dice=0.0, clip_norm=0.0, held_out=())
    one, parts = (
        make_trainer(tmp_path, options),
        make_trainer(tmp_path, dataclasses.replace(options, accumulate=2)),
    )
    batch = first_batch(dataset_of(davis, options), one)
    first, second = floats(one.step(*batch)), floats(parts.step(*batch))
    assert first["entropy"] == pytest.approx(second["entropy"], rel=1e-5)
    assert first["norm"] == pytest.approx(second["norm"], rel=1e-4)


@pytest.mark.parametrize("method", ["dense", "triple"])
def test_recomputed_activations_change_nothing(davis: Path, tmp_path: Path, method: str) -> None:
    config = dataclasses.replace(SMALL, method=method)
    options = dataclasses.replace(OPTIONS, held_out=())
    kept = make_trainer(tmp_path, options, config)
    again = make_trainer(tmp_path, dataclasses.replace(options, checkpoint_activations=True), config)
    batch = first_batch(dataset_of(davis, options), kept)
    assert floats(kept.step(*batch)) == pytest.approx(floats(again.step(*batch)), rel=1e-5)
    for one, other in zip(kept.network.parameters(), again.network.parameters(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)]
)
def test_signals_stop_after_the_step_with_a_checkpoint(
    davis: Path, tmp_path: Path, number: int, error: type
) -> None:
    options = dataclasses.replace(OPTIONS, iterations=1000, held_out=())
    trainer = make_trainer(tmp_path / "run", options)

    def send() -> None:
        while trainer.iteration < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    with pytest.raises(error):
        trainer.run(dataset_of(davis, options), 0, quiet())
    sender.join()
    assert read_state(tmp_path / "run").trainer["iteration"] == trainer.iteration >= 2


def test_bad_loss_stops_with_a_checkpoint_from_before(davis: Path, tmp_path: Path, monkeypatch) -> None:
    trainer = make_trainer(tmp_path / "run")
    forward = trainer.loss.forward

    def spoiled(*arguments):
        loss, figures = forward(*arguments)
        return loss * (float("nan") if trainer.iteration == 2 else 1), figures

    monkeypatch.setattr(trainer.loss, "forward", spoiled)
    with pytest.raises(RunError, match="loss is not finite at iteration 2") as error:
        trainer.run(dataset_of(davis, OPTIONS), 0, quiet())
    assert "\n" not in str(error.value)
    state = read_state(tmp_path / "run").trainer
    assert state["iteration"] == 2
    assert all(tensor.isfinite().all() for tensor in state["network"].values())


@pytest.fixture
def group() -> Iterator[None]:
    """A process group of one, which is enough for a trainer that shall be one of two."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("figure", [1.0, float("nan")])
def test_what_holds_the_process_group_ends_with_the_run(davis: Path, tmp_path: Path, figure: float) -> None:
    """Of a run that fails as well, while its error is still looked at."""
    trainer, wrapped = make_trainer(tmp_path / "run", world=2), []

    def scaled(module, arguments, result):
        wrapped.append(weakref.ref(trainer.loss))
        return result[0] * figure, result[1]

    trainer.loss.register_forward_hook(scaled)
    with nullcontext() if figure == 1 else pytest.raises(RunError) as error:
        trainer.run(dataset_of(davis, OPTIONS), 0, quiet())
    assert wrapped
    assert {held() for held in wrapped} == {None}, error


class Deadly(ClipDataset):
    """Its third clip kills the process that makes it."""

    def __getitem__(self, key: ClipKey) -> Clip:
        if key.number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(key)


@pytest.mark.slow
def test_a_dead_worker_stops_with_a_checkpoint(davis: Path, tmp_path: Path) -> None:
    whole = dataset_of(davis, OPTIONS)
    clips = Deadly(whole.datasets, whole.stages, whole.seed)
    with pytest.raises(RunError, match="worker") as error:
        make_trainer(tmp_path / "run").run(clips, 1, quiet())
    assert "\n" not in str(error.value)
    assert load_checkpoint(tmp_path / "run" / "weights.safetensors").config == SMALL


def test_the_best_weights_are_kept(davis: Path, tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, eval_every=2, iterations=8, held_out=())
    trainer, scores = make_trainer(tmp_path / "run", options), iter([0.3, 0.7, 0.5])
    kept = {}

    def score() -> dict[str, float]:
        kept[trainer.iteration] = load_checkpoint(tmp_path / "run" / "weights.safetensors").state_dict()
        return {"J&F-Mean": next(scores)}

    trainer.run(dataset_of(davis, options), 0, quiet(score=score))
    assert list(kept) == [2, 4, 6]
    best = load_checkpoint(tmp_path / "run" / "best.safetensors").state_dict()
    assert all(torch.equal(best[name], kept[4][name]) for name in best)
    assert trainer.best == 0.7


def test_rates_of_the_paper() -> None:
    """Warm-up 1e-6 -> 2e-5 over 8,000 iterations, constant to 32,000, cosine to 1e-6 at 160,000."""
    rates = {
        i: PAPER.learning_rate * rate_share(PAPER, i / PAPER.iterations)
        for i in (0, 4_000, 8_000, 32_000, 96_000, 160_000)
    }
    expected = {0: 1e-6, 4_000: 10.5e-6, 8_000: 2e-5, 32_000: 2e-5, 96_000: 10.5e-6, 160_000: 1e-6}
    assert rates == pytest.approx(expected)


def test_fine_tuning_is_short() -> None:
    assert recipe_options("lite", fine_tuning=True, side=128).iterations < 500
    assert recipe_options("paper", fine_tuning=True).iterations == PAPER.iterations
    assert recipe_options("lite", fine_tuning=True, iterations=7).iterations == 7


@pytest.mark.parametrize("learn", ["gated", "gates"])
def test_gated_parts_alone(learn: str) -> None:
    network = build_model(dataclasses.replace(SMALL, method="triple"))
    freeze(network, train_trunk=False, learn=learn)
    learning = {name for name, p in network.named_parameters() if p.requires_grad}
    part = "decoder." if learn == "gated" else ".gate."
    assert learning == {name for name, _ in network.named_parameters() if part in name}
    with pytest.raises(InputError, match=f"--learn {learn}"):
        freeze(build_model(SMALL), train_trunk=False, learn=learn)


def test_gates_have_their_own_rate() -> None:
    network = build_model(dataclasses.replace(SMALL, method="triple"))
    groups = parameter_groups(network, LiteOptions(gate_rate=7.0))
    shares = {group["share"] for group in groups}
    gates = sum(p.numel() for group in groups if group["share"] == 7.0 for p in group["params"])
    assert shares == {1.0, 7.0}
    assert gates == sum(p.numel() for name, p in network.named_parameters() if ".gate." in name)
