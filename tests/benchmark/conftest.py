"""Small benchmarks, and small networks to run on them."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from spvos_cli.model.checkpoint import build_model, save_weights
from tests.conftest import Command
from tests.evaluation.conftest import Clip
from tests.training.conftest import SMALL, write_frames


@pytest.fixture
def spvos_eval(spvos: Command) -> Command:
    """As `spvos`, with `eval` before the arguments."""
    return lambda arguments: spvos(f"eval {arguments}")


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small network without gates, another one, and one whose gates decide all sorts of things."""
    folder, files = tmp_path_factory.mktemp("weights"), {}
    for seed, (name, method) in enumerate([("dense", "dense"), ("other", "dense"), ("triple", "triple")]):
        torch.manual_seed(seed)
        network = build_model(dataclasses.replace(SMALL, method=method))
        for parameter_name, parameter in network.named_parameters():
            if ".gate." in parameter_name:
                torch.nn.init.normal_(parameter)
        files[name] = folder / f"{name}.safetensors"
        save_weights(network, files[name])
    return files


@pytest.fixture
def davis(tmp_path: Path, clip: Clip) -> Path:
    """Two sequences, the second one shorter and backwards, in the DAVIS layout."""
    root = tmp_path / "davis"
    for year in ("2016", "2017"):
        (root / "ImageSets" / year).mkdir(parents=True)
        (root / "ImageSets" / year / "val.txt").write_text("one\ntwo\n")
    for name, part in (("one", slice(None)), ("two", slice(5, None, -1))):
        frames, masks = (side[part] for side in clip)
        write_frames(
            root / "JPEGImages/480p" / name, root / "Annotations/480p" / name, (frames, masks), objects=2
        )
    return root


@pytest.fixture
def youtube(tmp_path: Path, clip: Clip) -> Path:
    """Two videos, annotated in every other frame; object 2 of the first one appears in frame 4."""
    root, meta = tmp_path / "youtube", {}
    late = [np.where((ids == 2) & (t < 4), 0, ids).astype(np.uint8) for t, ids in enumerate(clip[1])]
    for name, masks, categories in (("0a", late, ("dog", "zebra")), ("0b", clip[1], ("cat", "dog"))):
        write_frames(
            root / "train_all_frames/JPEGImages" / name,
            root / "train_all_frames/Annotations" / name,
            (clip[0], masks),
            objects=2,
        )
        for kind in ("JPEGImages", "Annotations"):
            (root / "train" / kind / name).mkdir(parents=True)
            for file in sorted((root / "train_all_frames" / kind / name).iterdir())[::2]:
                shutil.copy(file, root / "train" / kind / name)
        objects = {str(i + 1): {"category": category} for i, category in enumerate(categories)}
        meta[name] = {"objects": objects}
    (root / "train/meta.json").write_text(json.dumps({"videos": meta}))
    return root
