"""Long runs: phases, a limit on time, and what they leave behind."""

from __future__ import annotations

import dataclasses
import itertools
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from spvos_cli.data.clips import Clip, ClipKey
from spvos_cli.data.folders import VideoSequence, WeightedDataset, davis_sequences, still_sequences
from spvos_cli.errors import InputError
from spvos_cli.model.checkpoint import build_model, load_checkpoint
from spvos_cli.model.config import LITE
from spvos_cli.training.options import LiteOptions, LongOptions
from spvos_cli.training.parameters import learning_trunk, parameter_groups
from spvos_cli.training.recipes import make_dataset, phase_shares
from spvos_cli.training.reports import Reports
from spvos_cli.training.state import read_state
from spvos_cli.training.time_limit import TimeLimit
from spvos_cli.training.trainer import Trainer
from tests.conftest import Command
from tests.training.conftest import OPTIONS, SMALL, break_off, dataset_of, make_trainer, trainer_of

LONG = LongOptions(
    iterations=10,
    side=64,
    final_side=80,
    final_frames=4,
    batch_size=2,
    final_batch_size=1,
    stills_share=0.3,
    final_share=0.3,
    trunk_share=0.2,
    learning_rate=1e-3,
    max_gap=3,
)


def test_phases() -> None:
    """Stills first, then both; longer and larger clips at the end; the trunk late."""
    assert [(p.end, p.side, p.batch_size, p.frames, p.videos, p.trunk) for p in LONG.phases()] == [
        (0.3, 64, 2, 3, 0.0, False),
        (0.7, 64, 2, 3, 0.5, False),
        (0.8, 80, 1, 4, 0.5, False),
        (1.0, 80, 1, 4, 0.5, True),
    ]
    (only,) = dataclasses.replace(LONG, stills_share=0, final_share=0, trunk_share=0).phases()
    assert (only.end, only.side, only.trunk) == (1.0, 64, False)
    assert all(p.trunk for p in dataclasses.replace(LONG, train_trunk=True, trunk_share=0.2).phases())
    assert dataclasses.replace(LONG, stills_share=1.0).phases()[0].videos == 0.0


def datasets(davis: Path, stills: Path) -> list[WeightedDataset]:
    found = still_sequences(stills)
    return [
        WeightedDataset(3.0, davis_sequences(davis, 2016, "train")),
        WeightedDataset(1.0, found[:4]),
        WeightedDataset(3.0, found[4:]),
    ]


def test_shares_of_datasets(davis: Path, stills: Path) -> None:
    """The share of videos is the phase's; among the stills weights count."""
    found = [phase_shares(LONG, phase, datasets(davis, stills)).tolist() for phase in LONG.phases()[:2]]
    assert found == [pytest.approx([0, 0.25, 0.75]), pytest.approx([0.5, 0.125, 0.375])]
    with pytest.raises(InputError, match="--recipe long: no stills; expected videos and stills"):
        make_dataset(LONG, datasets(davis, stills)[:1], SMALL)


class Watched(torch.utils.data.Dataset[Clip]):
    """What was asked for, and of what shape it was."""

    def __init__(self, dataset: Any) -> None:
        self.dataset, self.asked = dataset, list[tuple[int, tuple[int, ...]]]()

    def __getitem__(self, key: ClipKey) -> Clip:
        clip = self.dataset[key]
        self.asked.append((key.number, tuple(clip.frames.shape[:3])))
        return clip


def long_trainer(folder: Path) -> Trainer:
    torch.manual_seed(0)
    return trainer_of(build_model(SMALL), LONG, folder)


def test_a_run_goes_through_its_phases(davis: Path, stills: Path, tmp_path: Path) -> None:
    trainer = long_trainer(tmp_path)
    clips = Watched(make_dataset(LONG, datasets(davis, stills), SMALL))
    trunk = trainer.network.get_submodule("query_encoder.trunk")
    at_first = [x.clone() for x in trunk.parameters()]
    moved = []

    def log(row: dict[str, float]) -> None:
        now = zip(at_first, trunk.parameters(), strict=True)
        moved.append(not all(torch.equal(before, x) for before, x in now))

    trainer.run(clips, 0, Reports(log, every=1))
    assert [number for number, _ in clips.asked] == list(range(7 * 2 + 3))
    shapes = [shape for _, shape in clips.asked]
    assert shapes == [(3, 3, 64)] * 14 + [(4, 3, 80)] * 3
    assert moved == [False] * 8 + [True] * 2


@pytest.mark.parametrize(
    "at", [pytest.param(2, marks=pytest.mark.slow), 5, pytest.param(9, marks=pytest.mark.slow)]
)
def test_resumed_inside_any_phase(davis: Path, stills: Path, tmp_path: Path, at: int) -> None:
    clips = make_dataset(LONG, datasets(davis, stills), SMALL)
    whole = long_trainer(tmp_path / "whole")
    whole.run(clips, 0, Reports(lambda row: None))
    break_off(long_trainer(tmp_path / "broken"), clips, at)
    resumed = long_trainer(tmp_path / "broken")
    resumed.restore(read_state(tmp_path / "broken").trainer)
    resumed.run(clips, 0, Reports(lambda row: None))
    for one, other in ((whole.network, resumed.network), (whole.result, resumed.result)):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert resumed.clips == whole.clips == 17


def test_the_trunk_has_its_own_rate() -> None:
    network = build_model(LITE).requires_grad_(True)
    groups = parameter_groups(network, LongOptions(trunk_rate=0.25))
    slow = sum(p.numel() for group in groups if group["share"] == 0.25 for p in group["params"])
    assert slow == sum(p.numel() for p in learning_trunk(network)) > 0


class Clock:
    """Seconds that pass by a number at each look."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def test_shares_of_the_time_that_is_left() -> None:
    times = iter([0.0, 10.0, 30.0, 95.0, 96.0])
    limit = TimeLimit(100, lambda: next(times))
    limit.reserve = 10
    assert limit.share_taken() == pytest.approx(10 / 90)
    assert limit.share_taken() == pytest.approx(20 / 80)
    assert limit.share_taken() == 1.0  # more than there was
    assert limit.share_taken() == 1.0


@pytest.mark.parametrize(("seconds", "steps"), [(1e6, 16), (9, 8), (4, 3), (0, 1)])
def test_a_run_ends_in_time_at_the_end_of_its_schedules(
    davis: Path, tmp_path: Path, seconds: float, steps: int
) -> None:
    """A step takes a second."""
    options = dataclasses.replace(OPTIONS, iterations=16, held_out=())
    trainer, limit = make_trainer(tmp_path, options), TimeLimit(seconds, Clock(1.0))
    progress = []
    trainer.run(dataset_of(davis, options), 0, Reports(lambda row: None, advance=progress.append), limit)
    assert trainer.finished
    assert abs(len(progress) - steps) <= 1
    assert progress == sorted(progress)
    assert progress[-1] == pytest.approx(1.0)
    gaps = [b - a for a, b in itertools.pairwise([0.0, *progress])]
    assert max(gaps) < 3 * min(gaps) or steps < 4
    assert load_checkpoint(tmp_path / "weights.safetensors").config == SMALL
    again = make_trainer(tmp_path, options)
    again.restore(read_state(tmp_path).trainer)
    assert again.finished


def test_phases_pass_in_time_too(davis: Path, stills: Path, tmp_path: Path) -> None:
    """With workers, which make clips ahead for steps that do not come."""
    trainer = long_trainer(tmp_path)
    trainer.options = dataclasses.replace(LONG, iterations=1000)
    clips, ends = make_dataset(trainer.options, datasets(davis, stills), SMALL), []
    reports = Reports(lambda row: None, advance=lambda progress: ends.append(trainer.phase.end))
    trainer.run(clips, 1, reports, TimeLimit(10, Clock(1.0)))
    assert trainer.finished
    assert {0.3, 0.7, 1.0} <= set(ends)
    assert trainer.iteration <= 11


@pytest.mark.slow
def test_command_with_a_limit(spvos_train: Command, davis: Path, start: Path) -> None:
    code, out, err = spvos_train(
        f"--dataset davis --data {davis} --init {start} --held-out two --side 64 --batch-size 2 --workers 0"
        " --max-minutes 0.1"
    )
    assert code == 0, err
    assert "--max-minutes: the run ended after" in " ".join(err.split())
    assert out.startswith("J&F on held-out frames: ")
    assert Path("spvos_run/weights.safetensors").exists()


@pytest.mark.skipif(not hasattr(signal, "SIGCHLD"), reason="no such signal on Windows")
def test_signal_handlers_are_put_back(davis: Path, tmp_path: Path) -> None:
    wanted = (signal.SIGTERM, signal.SIGINT)
    make_trainer(tmp_path / "first").run(dataset_of(davis, OPTIONS), 1, Reports(lambda row: None))
    before = [signal.getsignal(number) for number in wanted]
    theirs = signal.getsignal(signal.SIGCHLD)  # PyTorch's, once there were workers
    assert theirs is not signal.SIG_DFL
    make_trainer(tmp_path / "second").run(dataset_of(davis, OPTIONS), 1, Reports(lambda row: None))
    assert [signal.getsignal(number) for number in wanted] == before
    assert signal.getsignal(signal.SIGCHLD) is theirs


def test_workers_where_there_is_no_such_signal(
    davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows."""
    monkeypatch.delattr(signal, "SIGCHLD")
    options = dataclasses.replace(OPTIONS, iterations=1)
    make_trainer(tmp_path).run(dataset_of(davis, options), 0, Reports(lambda row: None))
    from spvos_cli.training.signals import quiet_child_signals

    with quiet_child_signals():
        pass


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
@pytest.mark.parametrize("method", ["dense", "triple"])
def test_the_same_losses_as_on_the_cpu(davis: Path, tmp_path: Path, device: str, method: str) -> None:
    """Ten steps in float32; on the CPU itself with the batch in parts, which rounds otherwise."""
    options = LiteOptions(
        iterations=10,
        batch_size=4,
        side=64,
        learning_rate=1e-4,
        dice=0.0,
        clip_norm=0.0,
        max_gap=3,
        noise=1.0,
    )
    if method == "triple":
        options = dataclasses.replace(options, gamma=0.0)  # densities are of a part
    config = dataclasses.replace(SMALL, method=method)
    losses: list[list[float]] = []
    for place, parts in (("cpu", 1), (device, 2 if device == "cpu" else 1)):
        torch.manual_seed(0)
        again = dataclasses.replace(options, accumulate=parts)
        trainer = trainer_of(build_model(config), again, tmp_path / f"{place}{parts}", device=place)
        rows: list[dict[str, float]] = []
        trainer.run(dataset_of(davis, again), 0, Reports(rows.append, every=1))
        losses.append([row["entropy"] for row in rows])
    assert len(losses[0]) == 10
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)
    assert losses[0][0] != losses[0][-1]


def test_videos_of_one_frame_are_stills() -> None:
    still = WeightedDataset(1.0, [VideoSequence("a", (Path("a"),), (Path("a"),))])
    with pytest.raises(InputError, match="no videos"):
        make_dataset(LONG, [still], SMALL)
