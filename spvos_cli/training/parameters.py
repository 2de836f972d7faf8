"""What of a network learns, and how fast."""

from __future__ import annotations

from typing import Any

from torch import nn

from spvos_cli.errors import InputError
from spvos_cli.model.clicks import ClickNetwork
from spvos_cli.model.network import Network
from spvos_cli.sparse.gate_base import Gate
from spvos_cli.sparse.module_gate import ModuleGate
from spvos_cli.sparse.plan import PARTS
from spvos_cli.training.base_options import TrainOptions

TRUNK = "query_encoder.trunk"


def freeze(network: Network, *, train_trunk: bool, learn: str = "all") -> Network:
    """Parameters that shall not learn require no gradient afterwards. A trunk that is kept, the lite
    model's, stays as ImageNet made it, unless asked for: there is little video to learn from, and depthwise
    convolutions are slow backwards.

    Args:
        learn: `gated`: all but the modules that have gates stays as it is; `gates`: all but the gates.

    Raises:
        InputError: then nothing would learn.
    """
    if learn != "all" and network.gate is None and not network.gated_parts:
        fix = "--method triple, or --learn all"
        raise InputError(
            f"--learn {learn}", found="a network without gates", expected="gates to train", fix=fix
        )
    gated = [network.get_submodule(PARTS[part]) for part in network.gated_parts]
    learning: dict[str, list[nn.Module]] = {
        "all": [network],
        "gated": gated,
        "gates": [module for module in network.modules() if isinstance(module, Gate | ModuleGate)],
    }
    network.requires_grad_(False)
    for module in learning[learn]:
        module.requires_grad_(True)
    if network.keeps_trunk and not train_trunk:
        network.get_submodule(TRUNK).requires_grad_(False)
    if isinstance(network, ClickNetwork):
        network.trunk.requires_grad_(False)
    return network


def learning_trunk(network: Network) -> list[nn.Parameter]:
    """The parameters of a trunk that is kept, where they are to learn in some phase of the run."""
    if not network.keeps_trunk:
        return []
    return [p for p in network.get_submodule(TRUNK).parameters() if p.requires_grad]


def parameter_groups(network: Network, options: TrainOptions) -> list[dict[str, Any]]:
    """Weights and the rest, gates and a trunk that is kept apart: with what share of the learning rate, and
    with what weight decay."""
    deciding = [module for module in network.modules() if isinstance(module, Gate | ModuleGate)]
    gates = {id(p) for module in deciding for p in module.parameters()}
    trunk = {id(p) for p in learning_trunk(network)} - gates
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.requires_grad:
            share = 1.0
            if id(parameter) in gates:
                share = options.gate_rate
            elif id(parameter) in trunk:
                share = options.trunk_rate
            decay = options.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((share, decay), []).append(parameter)
    return [{"params": p, "share": share, "weight_decay": decay} for (share, decay), p in groups.items()]
