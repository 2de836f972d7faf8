"""What a training run starts from, where it goes and what it may take: options of `spvos train` that are no
part of a recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from spvos_cli.option import MACHINE, check_values, option
from spvos_cli.resources import named_weights
from spvos_cli.training.base_options import RUN, SPARSITY


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """The fields that are declared are options of the command line. The others are options that commands
    share, as in `EngineOptions`:

        model: a host's name; None: lite, or that of `init`.
        overrides: method, structure, gate_all and strategy of `ModelConfig`, where they are not the model's
            own or those of `init`; gates that are not in `init` start by computing everything.
        device, dtype: as in `EngineOptions`; fp16 on GPUs only.
    """

    dataset: str | None = option(
        None,
        "What to learn from: davis, youtube-vos, stills or a folder; several with weights, as in"
        " davis:3,stills:2. Without it --data are annotated frames of your own.",
        metavar="NAME[:WEIGHT],...",
    )
    data: tuple[Path, ...] = option(
        (),
        "The folder of a dataset, once for each in the order of --dataset. By default $SPVOS_DATA/DATASET,"
        " else ./data/DATASET.",
        kind=list[Path],
        parse=tuple,
    )
    out: Path = option(
        Path("spvos_run"),
        "The folder of the run, which gets checkpoint.pt, weights.safetensors and metrics.jsonl.",
    )
    init: tuple[Path, ...] = option(
        (),
        "Weights to start from, as --weights takes them; given several times, the mean of those weights.",
        kind=list[Path],
        parse=tuple,
    )
    pretrained: str | None = option(
        None,
        "ImageNet weights to start ResNets from (--model spvos, xmem): download, or a folder with"
        " torchvision's files.",
        metavar="download|FOLDER",
    )
    year: int | None = option(
        None,
        "Which list and masks of DAVIS to use: those of 2016 have one object, those of 2017 several. By"
        " default 2016.",
        least=2016,
        most=2017,
    )
    teacher: Path | None = option(
        None,
        "Weights that say what a decoder that learns beside its gates is to say (--recipe stream --learn"
        " gated). By default those of --init.",
        panel=SPARSITY,
    )
    save_every: int = option(500, "After how many iterations a checkpoint is written.", panel=RUN, least=1)
    max_minutes: float | None = option(
        None,
        "How long the run may take once the program has started. It ends in time with averaged weights and"
        " their score, after fewer iterations than --iterations if need be: its schedules pass as much"
        " faster.",
        panel=RUN,
        least=0.0,
    )
    tensorboard: bool = option(
        False,
        "Whether figures go to a TensorBoard folder in --out as well.",
        panel=RUN,
        names=("--tensorboard/--no-tensorboard",),
    )
    workers: int = option(
        1, "How many processes make clips, for each process that trains.", panel=MACHINE, least=0
    )
    model: str | None = None
    overrides: Mapping[str, str | bool] = dataclasses.field(default_factory=dict)
    device: str = "auto"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        check_values(self)
        object.__setattr__(self, "init", tuple(map(named_weights, self.init)))
