"""Small datasets in the layouts that training reads, and a small network."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from spvos_cli.data.clips import ClipKey
from spvos_cli.data.folders import VideoSequence, WeightedDataset, davis_sequences
from spvos_cli.distributed import Processes
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.model.checkpoint import build_model, save_weights
from spvos_cli.model.config import LITE, SPVOS, ModelConfig
from spvos_cli.model.network import VOSNetwork
from spvos_cli.training.base_options import TrainOptions
from spvos_cli.training.batches import load_batches
from spvos_cli.training.options import LiteOptions
from spvos_cli.training.parameters import freeze
from spvos_cli.training.recipes import make_dataset, make_loss
from spvos_cli.training.reports import Reports
from spvos_cli.training.streams.learning_stream import LearningStream
from spvos_cli.training.streams.module_stream import ModuleLearningStream
from spvos_cli.training.trainer import Trainer
from tests.conftest import Command, write_mask

Clip = tuple[list[np.ndarray], list[np.ndarray]]
SMALL = dataclasses.replace(
    LITE, value_channels=16, decoder_channels=(16, 16, 16), mem_every=5, max_memory=4
)  # figures of tests hold for this memory
NARROW = dataclasses.replace(SPVOS, value_channels=32, decoder_channels=(16, 16, 16))
OPTIONS = LiteOptions(
    iterations=6, batch_size=2, side=64, frames=3, learning_rate=2e-3, max_gap=3, noise=1.0, held_out=("two",)
)


def write_frames(images: Path, masks: Path, clip: Clip, *, objects: int = 1) -> None:
    images.mkdir(parents=True)
    masks.mkdir(parents=True)
    for t, (image, ids) in enumerate(zip(*clip, strict=True)):
        Image.fromarray(image).save(images / f"{t:05d}.jpg", quality=95)
        write_mask(masks / f"{t:05d}.png", np.where(ids <= objects, ids, 0).astype(np.uint8))


@pytest.fixture(scope="session")
def davis(tmp_path_factory: pytest.TempPathFactory, clip: Clip) -> Path:
    """Two sequences in the DAVIS layout."""
    root = tmp_path_factory.mktemp("davis")
    for year in ("2016", "2017"):
        (root / "ImageSets" / year).mkdir(parents=True)
        (root / "ImageSets" / year / "train.txt").write_text("one\ntwo\n")
    for name in ("one", "two"):
        write_frames(root / "JPEGImages/480p" / name, root / "Annotations/480p" / name, clip)
    return root


@pytest.fixture(scope="session")
def stills(tmp_path_factory: pytest.TempPathFactory, clip: Clip) -> Path:
    root = tmp_path_factory.mktemp("stills")
    write_frames(root / "some/images", root / "some/masks", clip, objects=2)
    return root


@pytest.fixture(scope="session")
def youtube(tmp_path_factory: pytest.TempPathFactory, clip: Clip) -> Path:
    """Two videos in the YouTube-VOS layout."""
    root = tmp_path_factory.mktemp("youtube")
    for name in ("0a", "0b"):
        write_frames(root / "train/JPEGImages" / name, root / "train/Annotations" / name, clip, objects=2)
    (root / "train/meta.json").write_text(
        json.dumps({"videos": {"0a": {"objects": {}}, "0b": {"objects": {}}}})
    )
    return root


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small network."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("start") / "start.safetensors"
    save_weights(build_model(SMALL), path)
    return path


def make_trainer(
    folder: Path, options: TrainOptions = OPTIONS, config: ModelConfig = SMALL, world: int = 1
) -> Trainer:
    torch.manual_seed(0)
    return trainer_of(build_model(config), options, folder, world=world)


def trainer_of(
    network: VOSNetwork,
    options: TrainOptions,
    folder: Path,
    *,
    world: int = 1,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Trainer:
    """With the recipe's loss, and of the network what the recipe says learning."""
    processes = Processes(world=world)
    freeze(network, train_trunk=any(p.trunk for p in options.phases()), learn=options.learn)
    loss = make_loss(options, network, dtype, processes)
    place = torch.device(device)
    return Trainer(network, options, folder, loss=loss, device=place, dtype=dtype, processes=processes)


def dataset_of(root: Path, options: TrainOptions, config: ModelConfig = SMALL) -> Dataset[Any]:
    """A recipe's clips of the two sequences in the DAVIS layout."""
    datasets = [WeightedDataset(1.0, davis_sequences(root, 2016, "train"))]
    return make_dataset(options, datasets, config)


def first_batch(dataset: Dataset[Any], trainer: Trainer) -> tuple[torch.Tensor, ...]:
    """The clips of a run's first step."""
    keys = [ClipKey(number, 0.0) for number in range(trainer.phase.batch_size)]
    return next(load_batches(dataset, [keys], 0, torch.device("cpu")))


def assert_as_at_test_time(
    stream: LearningStream | ModuleLearningStream, segmenter: VideoSegmenter, sequence: VideoSequence
) -> None:
    """A stream that learns finds what a segmenter finds, and its gates compute some of it."""
    for t in range(len(sequence.frames)):
        frame, mask = sequence.read_frame(t), sequence.read_mask(t)
        given = {1: torch.from_numpy(mask > 0).float()} if t == 0 else None
        prob = stream.step(torch.from_numpy(frame).permute(2, 0, 1) / 255, given)
        segmenter.step(frame, (mask > 0).astype(np.uint8) if t == 0 else None)
        torch.testing.assert_close(prob.clone(), segmenter.prob.clone(), atol=1e-3, rtol=0)
    computed = torch.cat([step.computed.flatten() for step in stream.steps]).float().mean()
    assert 0.05 < computed < 0.95


class Broken(Exception):
    """Something that ends a run in its middle."""


def break_off(trainer: Trainer, clips: Dataset[Any], iteration: int) -> None:
    """Ends a run some time after its checkpoint of an iteration."""

    def log(row: dict[str, float]) -> None:
        if row["iteration"] > iteration:
            raise Broken

    with pytest.raises(Broken):
        trainer.run(clips, 0, Reports(log, every=1, save_every=iteration))


@pytest.fixture
def spvos_train(spvos: Command) -> Command:
    """As `spvos`, with `train` before the arguments."""
    return lambda arguments: spvos(f"train {arguments}")
