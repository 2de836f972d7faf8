"""What is gated when: structures and strategies (Tables II and III)."""

from __future__ import annotations

from torch import nn

from spvos_cli.errors import InputError
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.gate import GATES

PARTS = {"Q": "query_encoder", "D": "decoder", "M": "memory_encoder"}
STRUCTURES = ("Q", "D", "QD", "QDM")
STRATEGIES = ("mixed", "semi-mixed", "fully")


def gated_convolutions(network: nn.Module, structure: str, *, gate_all: bool) -> dict[str, SparseConv2d]:
    """The convolutions that a structure gates, by name, in the order of the network; those of the decoder
    where one gate decides about a whole module.

    Args:
        structure: letters of Q, D and M.
        gate_all: in Q and D also shortcuts, heads, skip convolutions and the prediction (Table III, dagger).
    """
    chosen = {}
    if getattr(network, "gate", None) is not None:
        decoder = network.get_submodule(PARTS["D"])
        named = ((f"{PARTS['D']}.{name}", conv) for name, conv in decoder.named_modules())
        return {name: conv for name, conv in named if isinstance(conv, SparseConv2d)}
    for part, module in PARTS.items():
        if part not in structure:
            continue
        for name, conv in network.get_submodule(module).named_modules():
            if isinstance(conv, SparseConv2d) and (conv.role == "branch" or (gate_all and part != "M")):
                chosen[f"{module}.{name}"] = conv
    return chosen


def add_gates(network: nn.Module, method: str, structure: str, *, gate_all: bool) -> None:
    """Gives the structure's convolutions the method's gates, as they are before training.

    Raises:
        InputError: there are none, as in the query encoder of the lite network, whose trunk has no gates.
    """
    chosen = gated_convolutions(network, structure, gate_all=gate_all)
    if not chosen:
        found = "no residual branch that could have gates in this network"
        raise InputError(f"--sparse {structure}", found=found, expected="modules with some", fix="--sparse D")
    for conv in chosen.values():
        conv.gate = GATES[method](conv)


def runs_sparsely(strategy: str, *, annotated: bool, memory_frame: bool) -> bool:
    """Whether a frame is sparse (Table II): mixed, all but memory frames; semi-mixed, all but annotated
    ones."""
    if strategy == "mixed":
        return not memory_frame
    return strategy == "fully" or not annotated
