"""Weight files: safetensors that carry their config, and checkpoints as hosts' owners publish them."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from spvos_cli.errors import InputError
from spvos_cli.files import atomic_path
from spvos_cli.model.clicks import ClickNetwork
from spvos_cli.model.config import ModelConfig
from spvos_cli.model.host import host_of
from spvos_cli.model.hosts import HOSTS
from spvos_cli.model.network import Network, VOSNetwork
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.module_gate import ModuleGate
from spvos_cli.sparse.plan import add_gates


def network_class(architecture: str) -> type[Network]:
    """Of a host, or of the network of clicks."""
    return ClickNetwork if architecture == "clicks" else host_of(architecture).network


def build_network(config: ModelConfig) -> Network:
    """As `build_model`; also the network of clicks."""
    return ClickNetwork(config).eval() if config.architecture == "clicks" else build_model(config)


def build_model(config: ModelConfig) -> VOSNetwork:
    """A network with fresh weights and the gates of its method, in evaluation mode.

    Raises:
        InputError: gates that the network cannot have, or the network of clicks, which knows no video.
    """
    if config.architecture not in HOSTS:
        found = "the network that makes masks of clicks, which follows nothing"
        expected, fix = f"one of {', '.join(HOSTS)}", "--model lite"
        raise InputError(f"--model {config.architecture}", found=found, expected=expected, fix=fix)
    network = host_of(config.architecture).network(config)
    if config.gate == "module" and config.method != "dense":
        add_module_gate(network, config)
    elif config.method != "dense":
        add_gates(network, config.method, config.structure, gate_all=config.gate_all)
    return network.eval()


def add_module_gate(network: VOSNetwork, config: ModelConfig) -> None:
    """Gives a network the gate that all convolutions of its decoder obey, as it is before training.

    Raises:
        InputError: another method than triple.
    """
    if config.method != "triple":
        found = f"--method {config.method}"
        raise InputError("--gate module", found=found, expected="--method triple", fix="--gate conv")
    network.gate = ModuleGate(config.key_channels)
    for module in network.decoder.modules():
        if isinstance(module, SparseConv2d):
            module.obeys_module = True


def save_weights(model: Network, path: Path, notes: Mapping[str, str] | None = None) -> None:
    """Writes weights and config; beside the target first, so that a cut-off write leaves the old file
    whole."""
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    with atomic_path(path) as part:
        # safetensors' own files are for their owner's eyes alone
        part.write_bytes(save(tensors, metadata={"config": model.config.to_json(), **(notes or {})}))


def load_checkpoint(
    path: Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    fresh_gates: bool = False,
    architecture: str | None = None,
) -> VOSNetwork:
    """Rebuilds the network of a weight file: ours (.safetensors) or one that a host's owners published
    (.pth). Runs no code of it.

    Args:
        overrides: fields of the config (method, structure, ...) that differ from the file's. Gates that are
            not asked for are ignored.
        fresh_gates: where gates are asked for that the file lacks, they start as before training.
        architecture: of the network that the file must hold; None: any.

    Raises:
        InputError: the file is missing, unreadable, holds something else or another network, or lacks the
            gates asked for.
    """
    if not path.is_file():
        raise InputError(path, found="no such file", expected="a weight file", fix="--weights FILE")
    stored, tensors = _read(path)
    if architecture not in (None, stored.architecture):
        found, wanted = (f"the weights of a {name} network" for name in (stored.architecture, architecture))
        raise InputError(path, found=found, expected=wanted, fix=f"--model {stored.architecture}")
    config = dataclasses.replace(stored, **overrides or {})
    model = build_model(config)
    expected = model.state_dict()
    tensors = {
        n: t
        for n, t in tensors.items()
        if not _is_gate(n) or (n in expected and config.method == stored.method)
    }
    missing = {name for name in expected if _is_gate(name)} - set(tensors)
    if missing and not fresh_gates:
        option, lacking = f"--method {config.method}", f"no {config.method} gates for {config.structure}"
        if config.gate == "module":
            option, lacking = "--gate module", "no gate for a whole module"
        found = f"the weights in {path.name} have {lacking}"
        raise InputError(option, found=found, expected="weights trained with them", fix="--method dense")
    tensors = {name: expected[name] for name in missing} | tensors
    _check_fit(path, expected, tensors, config)
    model.load_state_dict(tensors)
    return model


def load_clicks(path: Path) -> ClickNetwork:
    """Rebuilds the network of clicks of a weight file.

    Raises:
        InputError: the file is missing, unreadable, or holds another network.
    """
    if not path.is_file():
        raise InputError(
            path, found="no such file", expected="a weight file", fix="spvos train --recipe clicks"
        )
    config, tensors = _read_safetensors(path)
    if config.architecture != "clicks":
        found, expected = f"the weights of a {config.architecture} network", "those of --recipe clicks"
        raise InputError(path, found=found, expected=expected, fix="spvos train --recipe clicks")
    network = ClickNetwork(config).eval()
    _check_fit(path, network.state_dict(), tensors, config)
    network.load_state_dict(tensors)
    return network


def stored_config(path: Path) -> ModelConfig:
    """The config that a weight file was written with; the host's own for a published checkpoint.

    Raises:
        InputError: the file is unreadable or holds no config.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_published(path)


def _is_gate(name: str) -> bool:
    return "gate" in name.split(".")


def _check_fit(
    path: Path, expected: Mapping[str, Tensor], found: Mapping[str, Tensor], config: ModelConfig
) -> None:
    wrong = sorted(set(expected) ^ set(found)) or sorted(
        n for n in expected if expected[n].shape != found[n].shape
    )
    if wrong:
        text = f"{len(wrong)} tensors that do not fit, {wrong[0]} among them"
        raise InputError(
            path, found=text, expected=f"the weights of a {config.architecture} network", fix="--weights FILE"
        )


def _read_safetensors(path: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        return ModelConfig.from_json(metadata["config"]), tensors
    except (SafetensorError, OSError) as error:
        raise InputError(
            path, found=f"unreadable ({error})", expected="a .safetensors file", fix="--weights FILE"
        ) from error
    except (KeyError, ValueError, TypeError) as error:
        found = f"no usable config ({error})"
        raise InputError(
            path, found=found, expected="weights written by spvos", fix="--weights FILE"
        ) from error


def _read_published(path: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    kinds = " or ".join(listed.published.split(" (")[0] for listed in HOSTS.values() if listed.published)
    expected, fix = f"a .safetensors file, or {kinds}", "--weights FILE"
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        found = f"unreadable ({str(error).splitlines()[0]})"
        raise InputError(path, found=found, expected=expected, fix=fix) from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise InputError(path, found="no table of tensors", expected=expected, fix=fix)
    for host in map(host_of, HOSTS):
        if host.published is not None and host.published.mark in tensors:
            return host.config, host.published.convert(tensors)
    raise InputError(path, found="tensors of another network", expected=expected, fix=fix)
