"""Options that several commands share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from spvos_cli.inference.engine import EngineOptions

MODEL, MACHINE, MEMORY, OUTPUT = "Model", "Machine", "Memory", "Output"


class Model(str, Enum):
    lite = "lite"
    spvos = "spvos"


class Device(str, Enum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Dtype(str, Enum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class Method(str, Enum):
    dense = "dense"
    static = "static"
    residual = "residual"
    triple = "triple"


class Structure(str, Enum):
    Q = "Q"
    D = "D"
    QD = "QD"
    QDM = "QDM"


class Strategy(str, Enum):
    mixed = "mixed"
    semi_mixed = "semi-mixed"
    fully = "fully"


ModelOption = Annotated[
    Model,
    typer.Option(
        "--model", help="The small network whose weights ship, or the paper's.", rich_help_panel=MODEL
    ),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option("--weights", help="A weight file: ours, or an official STCN .pth.", rich_help_panel=MODEL),
]
MethodOption = Annotated[
    Method | None,
    typer.Option(
        "--method", help="What gated convolutions do; default: as in the weights.", rich_help_panel=MODEL
    ),
]
StructureOption = Annotated[
    Structure | None,
    typer.Option("--sparse", help="Modules with gates; default: as in the weights.", rich_help_panel=MODEL),
]
GateAllOption = Annotated[
    bool | None,
    typer.Option(
        "--gate-all/--gate-branches", help="Gates also beside residual branches.", rich_help_panel=MODEL
    ),
]
StrategyOption = Annotated[
    Strategy | None,
    typer.Option(
        "--strategy", help="Which frames are sparse; default: as in the weights.", rich_help_panel=MODEL
    ),
]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where to compute.", rich_help_panel=MACHINE)]
DtypeOption = Annotated[
    Dtype,
    typer.Option("--dtype", help="Arithmetic; auto takes what is fastest here.", rich_help_panel=MACHINE),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, help="CPU threads; default: all that may be used.", rich_help_panel=MACHINE
    ),
]
SizeOption = Annotated[
    int,
    typer.Option(
        "--size",
        min=32,
        help="Short side the network sees, in pixels; never enlarges.",
        rich_help_panel=MODEL,
    ),
]
MemEveryOption = Annotated[
    int | None,
    typer.Option("--mem-every", min=1, help="Frames between memory frames.", rich_help_panel=MEMORY),
]
TopKOption = Annotated[
    int | None,
    typer.Option("--top-k", min=1, help="Affinities kept for each pixel.", rich_help_panel=MEMORY),
]
MaxMemoryOption = Annotated[
    int | None,
    typer.Option(
        "--max-memory", min=0, help="Memory frames kept, annotated ones not counted.", rich_help_panel=MEMORY
    ),
]
ReuseOption = Annotated[
    bool,
    typer.Option("--reuse/--no-reuse", help="What gates reuse, or skipped instead.", rich_help_panel=MODEL),
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace outputs.", rich_help_panel=OUTPUT)
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say nothing on stderr.", rich_help_panel=OUTPUT)
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print a JSON summary on stdout.", rich_help_panel=OUTPUT)
]
DataOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        help="Where a dataset is, one for each dataset; default $SPVOS_DATA/DATASET, else ./data/DATASET.",
    ),
]


def engine_options(parameters: Mapping[str, Any]) -> EngineOptions:
    """From a command's parameters, which have the names of the fields."""
    from spvos_cli.inference.engine import EngineOptions

    return EngineOptions(**plain_values(parameters, EngineOptions))


def plain_values(parameters: Mapping[str, Any], options: type) -> dict[str, Any]:
    """A command's parameters that have the names of a dataclass's fields, enumerations as text."""
    names = {field.name for field in dataclasses.fields(options)}
    values = {name: value for name, value in parameters.items() if name in names}
    return {name: v.value if isinstance(v, Enum) else v for name, v in values.items()}
