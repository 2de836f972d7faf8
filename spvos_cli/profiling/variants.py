"""The networks that `profile` looks at and compares."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from spvos_cli.inference.dense_engine import use_engine
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.inference.machine import choose_device, choose_dtype, prepare_arithmetic
from spvos_cli.model.checkpoint import build_model, load_checkpoint, stored_config
from spvos_cli.model.host import host_of
from spvos_cli.model.hosts import HOSTS
from spvos_cli.model.layers import ResidualBlock
from spvos_cli.model.matching import TopKReadout, plain_top_k_readout, top_k_readout
from spvos_cli.model.network import VOSNetwork
from spvos_cli.resources import weight_file
from spvos_cli.sparse.conv_unit import join_channels

EAGER = "eager"  # plain dense PyTorch: see `as_published`


def profile_network(engine: EngineOptions) -> VOSNetwork:
    """What is profiled: the weights' network; without weights a random one, with the paper's gates where
    none ship."""
    path = _weight_file(engine)
    if engine.weights or path.is_file():
        architecture = engine.architecture()
        return load_checkpoint(path, engine.overrides(), fresh_gates=True, architecture=architecture)
    fields: dict[str, Any] = {"method": "triple" if HOSTS[engine.model].published else "dense"}
    torch.manual_seed(0)
    return build_model(dataclasses.replace(host_of(engine.model).config, **fields | _overrides(engine)))


def _overrides(engine: EngineOptions) -> dict[str, Any]:
    """The fields of the config that the options change."""
    memory = {"mem_every": engine.mem_every, "top_k": engine.top_k}
    return engine.overrides() | {name: value for name, value in memory.items() if value is not None}


def has_trained_gates(engine: EngineOptions) -> bool:
    """Whether the weights hold the gates that the options ask for."""
    path = _weight_file(engine)
    return path.is_file() and stored_config(path).method == profile_network(engine).config.method != "dense"


def _weight_file(engine: EngineOptions) -> Path:
    """The one that is given, or else the one that would ship, whether it does or not."""
    return Path(engine.weights) if engine.weights else weight_file(engine.model, engine.method, engine.gate)


def variant(engine: EngineOptions, name: str | None) -> VOSNetwork:
    """The network as it runs here with another method, or plain; None: as the options have it."""
    device = choose_device(engine.device)
    dtype = choose_dtype(engine.dtype, device)
    prepare_arithmetic(device, dtype)
    method = engine.method if name is None else "dense" if name == EAGER else name
    network = profile_network(dataclasses.replace(engine, method=method))
    if name == EAGER:
        return as_published(network).requires_grad_(False).to(device)
    network = network.for_inference(device, dtype)
    use_engine(network, engine.engine, device, dtype, engine.threads or torch.get_num_threads())
    return network


def as_published(network: VOSNetwork) -> VOSNetwork:
    """Changed in place to how the network is commonly run: float32, channels first, batch normalisation not
    folded, and what the objects of a frame share repeated and convolved for each; see also `readout_of`."""

    def repeat(block: ResidualBlock, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        x, *more = inputs
        return (join_channels(x, options.get("shared")), *more), {**options, "shared": None}

    for module in network.modules():
        if isinstance(module, ResidualBlock):
            module.register_forward_pre_hook(repeat, with_kwargs=True)
    return network


def readout_of(name: str | None) -> TopKReadout:
    """How the memory is read: plainly with the affinities of all pairs, or as it runs here."""
    return plain_top_k_readout if name == EAGER else top_k_readout
