"""The paper's cost tables beside what is counted here: Table III's parameters, Table IV's operations, Table
VI's sizes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from spvos_cli.model.checkpoint import build_model
from spvos_cli.model.config import SPVOS, ModelConfig
from spvos_cli.model.host import host_of
from spvos_cli.model.network import VOSNetwork
from spvos_cli.profiling.arguments import DAVIS_2017_VAL, read_video_list
from spvos_cli.profiling.cost import mean_macs, parameter_size

# Densities with which the paper's triple figures come out (Table IV); the decoder's first frame is dense.
PAPER_DENSITY = {"Q": 0.348, "D": 0.0285}

# Tables I to III, "Params": MiB of float32 parameters and statistics. Rows: method; columns: structure.
PARAMS_MIB = {
    ("dense", "", False): 207.78,
    ("static", "Q", False): 207.90,
    ("static", "D", False): 207.88,
    ("static", "QD", False): 208.00,
    ("static", "QDM", False): 208.15,
    ("residual", "Q", False): 207.90,
    ("residual", "D", False): 207.88,
    ("residual", "QD", False): 208.00,
    ("residual", "QDM", False): 208.15,
    ("triple", "Q", False): 208.48,
    ("triple", "D", False): 208.36,
    ("triple", "QD", False): 209.06,
    ("triple", "QDM", False): 209.97,
    ("triple", "Q", True): 208.92,
    ("triple", "D", True): 208.89,
    ("triple", "QD", True): 210.03,
}

# Table IV, "FLOPs": 10^9 multiply-accumulates a frame, averaged over DAVIS-2017 val.
MACS_G = {
    "dense": {"query_encoder": 36.00, "memory_encoder": 17.46, "decoder": 167.16, "total": 220.62},
    "triple": {"query_encoder": 24.13, "memory_encoder": 17.46, "decoder": 86.83, "total": 128.42},
}

# Table VI: MiB of float32 parameters alone, and 10^9 multiply-accumulates a frame as in Table IV.
XMEM = {"dense": ("XMem", 237.22, 311.95), "triple": ("Tri-XMem", 238.91, 204.15)}


class Cell(NamedTuple):
    """One figure of the paper. Attributes: table, what it is of, unit, the paper's figure, ours."""

    table: str
    name: str
    unit: str
    paper: float
    ours: float


def on_meta(
    method: str, structure: str = "QD", *, gate_all: bool = False, base: ModelConfig = SPVOS
) -> VOSNetwork:
    """The paper's network, or another host, with gates, shapes only."""
    fields: dict[str, Any] = {"method": method, "gate_all": gate_all}
    fields |= {"structure": structure} if structure else {}
    with torch.device("meta"):
        return build_model(dataclasses.replace(base, **fields))


def parameter_cells() -> list[Cell]:
    """Every "Params" cell of Tables I to III and VI."""
    cells = []
    for (method, structure, gate_all), figure in PARAMS_MIB.items():
        name = f"{method} {structure}{' dagger' if gate_all else ''}".strip()
        size = parameter_size(on_meta(method, structure, gate_all=gate_all))
        cells.append(Cell("I-III params", name, "MiB", figure, size.params_mib))
    xmem = host_of("xmem").config
    for method, (name, figure, _) in XMEM.items():
        size = parameter_size(on_meta(method, base=xmem))
        cells.append(Cell("VI params", name, "MiB", figure, size.params_only_mib))
    return cells


def xmem_operation_cells() -> list[Cell]:
    """Table VI's operations, counted as Table IV's; Tri-XMem's with the densities of Table IV, as the paper
    does not say its own. They do not come out: docs/hosts.md."""
    videos, xmem, cells = read_video_list(DAVIS_2017_VAL), host_of("xmem").config, []
    for method, (name, _, figure) in XMEM.items():
        total = mean_macs(on_meta(method, base=xmem), videos, PAPER_DENSITY)["total"]
        cells.append(Cell("VI operations", name, "G", figure, total / 1e9))
    return cells


def operation_cells() -> list[Cell]:
    """Every cell of Table IV, on the videos of DAVIS-2017 val."""
    videos, cells = read_video_list(DAVIS_2017_VAL), []
    for method, figures in MACS_G.items():
        density: Mapping[str, float] = PAPER_DENSITY if method == "triple" else {}
        counted = mean_macs(on_meta(method), videos, density)
        cells += [
            Cell("IV operations", f"{method} {n}", "G", f, counted[n] / 1e9) for n, f in figures.items()
        ]
    return cells
