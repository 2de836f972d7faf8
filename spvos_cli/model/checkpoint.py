"""Weight files: safetensors that carry their config, and the official STCN checkpoints."""

from __future__ import annotations

import dataclasses
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from spvos_cli.errors import InputError
from spvos_cli.files import atomic_path
from spvos_cli.model.config import SPVOS, ModelConfig
from spvos_cli.model.lite import LiteVOS
from spvos_cli.model.network import SpVOS, VOSNetwork
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.module_gate import ModuleGate
from spvos_cli.sparse.plan import add_gates

NETWORKS: dict[str, type[VOSNetwork]] = {"spvos": SpVOS, "lite": LiteVOS}

STCN_NAMES = (
    (r"^key_encoder\.conv1\.", "query_encoder.trunk.stem."),
    (r"^key_encoder\.bn1\.", "query_encoder.trunk.stem.norm."),
    (r"^key_encoder\.(?:res2|layer1)\.", "query_encoder.trunk.stages.0."),
    (r"^key_encoder\.layer2\.", "query_encoder.trunk.stages.1."),
    (r"^key_encoder\.layer3\.", "query_encoder.trunk.stages.2."),
    (r"^key_proj\.key_proj\.", "query_encoder.key."),
    (r"^key_comp\.", "query_encoder.value."),
    (r"^value_encoder\.conv1\.", "memory_encoder.trunk.stem."),
    (r"^value_encoder\.bn1\.", "memory_encoder.trunk.stem.norm."),
    (r"^value_encoder\.layer1\.", "memory_encoder.trunk.stages.0."),
    (r"^value_encoder\.layer2\.", "memory_encoder.trunk.stages.1."),
    (r"^value_encoder\.layer3\.", "memory_encoder.trunk.stages.2."),
    (r"^value_encoder\.fuser\.", "memory_encoder.fuser."),
    (r"attention\.ChannelGate\.mlp\.1\.", "attention.channel_mlp.0."),
    (r"attention\.ChannelGate\.mlp\.3\.", "attention.channel_mlp.2."),
    (r"attention\.SpatialGate\.spatial\.conv\.", "attention.spatial."),
    (r"^decoder\.up_16_8\.skip_conv\.", "decoder.up8.skip."),
    (r"^decoder\.up_16_8\.out_conv\.", "decoder.up8.block."),
    (r"^decoder\.up_8_4\.skip_conv\.", "decoder.up4.skip."),
    (r"^decoder\.up_8_4\.out_conv\.", "decoder.up4.block."),
    (r"^decoder\.pred\.", "decoder.predict."),
    (r"\.bn(\d)\.", r".conv\1.norm."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"\.downsample\.(?=weight|bias)", ".shortcut."),
)


def build_model(config: ModelConfig) -> VOSNetwork:
    """A network with fresh weights and the gates of its method, in evaluation mode.

    Raises:
        InputError: the architecture is XMem's, whose layers are counted (`model.xmem`) but which has no
            stream yet.
    """
    if config.architecture not in NETWORKS:
        found = f"{config.architecture} can be counted but not run yet"
        raise InputError(
            f"--model {config.architecture}", found=found, expected=" or ".join(NETWORKS), fix="--model lite"
        )
    network = NETWORKS[config.architecture](config)
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


def save_weights(model: VOSNetwork, path: Path, notes: Mapping[str, str] | None = None) -> None:
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
    """Rebuilds the network of a weight file: ours (.safetensors) or an official STCN checkpoint (.pth). Runs
    no code of it.

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
    stored, tensors = _read_safetensors(path) if path.suffix == ".safetensors" else (SPVOS, _read_stcn(path))
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


def stored_config(path: Path) -> ModelConfig:
    """The config that a weight file was written with; that of STCN's network for a .pth.

    Raises:
        InputError: the file is unreadable or holds no config.
    """
    return _read_safetensors(path)[0] if path.suffix == ".safetensors" else SPVOS


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
            path, found=found, expected="weights written by spvos, or STCN's .pth", fix="--weights FILE"
        ) from error


def _read_stcn(path: Path) -> dict[str, Tensor]:
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        found = f"unreadable ({str(error).splitlines()[0]})"
        raise InputError(
            path, found=found, expected="a .safetensors file or an STCN checkpoint", fix="--weights FILE"
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise InputError(
            path,
            found="no table of tensors",
            expected="a .safetensors file or an STCN checkpoint",
            fix="--weights FILE",
        )
    return {stcn_name(name): tensor for name, tensor in tensors.items()}


def stcn_name(name: str) -> str:
    """Our name of a tensor of an official STCN checkpoint."""
    for pattern, replacement in STCN_NAMES:
        name = re.sub(pattern, replacement, name)
    return name
