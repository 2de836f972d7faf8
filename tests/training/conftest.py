"""Small datasets in the layouts that training reads, and a small network."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spvos_cli.distributed import Processes
from spvos_cli.model.checkpoint import build_model, save_weights
from spvos_cli.model.config import LITE, SPVOS, ModelConfig
from spvos_cli.training.options import TrainOptions
from spvos_cli.training.trainer import Trainer
from tests.conftest import Command, write_mask

Clip = tuple[list[np.ndarray], list[np.ndarray]]
SMALL = dataclasses.replace(LITE, value_channels=16, decoder_channels=(16, 16, 16))
NARROW = dataclasses.replace(SPVOS, value_channels=32, decoder_channels=(16, 16, 16))
OPTIONS = TrainOptions(
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
    cpu, processes = torch.device("cpu"), Processes(world=world)
    return Trainer(build_model(config), options, folder, device=cpu, dtype=torch.float32, processes=processes)


@pytest.fixture
def spvos_train(spvos: Command) -> Command:
    """As `spvos`, with `train` before the arguments."""
    return lambda arguments: spvos(f"train {arguments}")
