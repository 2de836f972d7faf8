"""What recipes have in common: options that all of them have, and those of the recipes of short clips."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, NamedTuple

from spvos_cli.errors import InputError
from spvos_cli.option import check_values, option

RECIPE, SPARSITY, RUN = "Recipe", "Sparsity", "Run"  # panels of --help
STRIDE = 16  # frames are multiples of it in height and width


class Phase(NamedTuple):
    """A part of a run in which clips and what learns are the same.

    Attributes:
        end: the share of the run after which it is over.
        side, batch_size: of its clips.
        frames: of a clip; 0 where the recipe says it otherwise.
        videos: share of the clips that are of videos and not of stills; None: the collections' weights say.
        trunk: whether the lite model's trunk learns.
    """

    end: float
    side: int
    batch_size: int
    frames: int = 0
    videos: float | None = None
    trunk: bool = False


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """What all recipes have in common; the defaults are the lite recipe's.

    Fields without a declaration are part of a recipe and no options of the command:
        start_rate, final_rate: the first and the last learning rate, as shares of the peak.
        warmup, hold: shares of the run after which the peak is reached, and left for the cosine.
        weight_decay: AdamW's; biases and scales have none.
        clip_norm: gradients are scaled to at most this norm; 0: they are not.

    Raises:
        InputError: a value is out of its range, or numbers do not divide.
    """

    recipe: ClassVar[str]
    score: ClassVar[str] = "J&F-Mean"  # the column that says which weights are the best
    triple_start: ClassVar[tuple[float, float, float]] = (0.0, 0.5, 1.0)  # bias of SKIP, REUSE, COMPUTE
    trunk_rate = 1.0
    frames = 0

    iterations: int = option(
        20_000,
        "How many optimiser steps the run has; with 0 the weights of --init are written and scored as they"
        " are. With --resume the run's new length: its schedules go on as if it had been as long from the"
        " start.",
        panel=RECIPE,
        least=0,
    )
    batch_size: int = option(
        8, "How many clips or streams a step has, over all processes.", panel=RECIPE, least=1
    )
    accumulate: int = option(
        1,
        "Into how many parts a process splits its share of a step, to save memory.",
        panel=RECIPE,
        least=1,
    )
    learning_rate: float = option(5e-4, "The highest learning rate of the run.", panel=RECIPE, least=0.0)
    start_rate: float = 0.005
    final_rate: float = 0.01
    warmup: float = 0.015
    hold: float = 0.015
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    average: float = option(
        0.999,
        "The decay of the running average of the weights, which is what is scored and written; 0 writes the"
        " last weights themselves.",
        panel=RECIPE,
        least=0.0,
        most=1.0,
    )
    start_share: float = option(
        0.0,
        "The share that the weights at the start of the run have in what is scored and written, beside the"
        " running average: a little less is learned, and less is forgotten. By default 0, for frames of your"
        " own 0.5.",
        panel=RECIPE,
        least=0.0,
        most=1.0,
    )
    side: int = option(
        256,
        "Height and width of a training frame in pixels, a multiple of 16.",
        panel=RECIPE,
        least=4 * STRIDE,
    )
    seed: int = option(0, "The seed of weights, clips and noise.", panel=RECIPE, least=0)
    gate_rate: float = option(
        3.0, "How many times as fast as the rest gates learn.", panel=SPARSITY, least=0.0
    )
    target: float = option(
        0.1,
        "The density that gates are trained to: the share of multiply-accumulates that gated convolutions"
        " still do.",
        panel=SPARSITY,
        least=0.0,
        most=1.0,
    )
    anneal: float = option(
        0.1,
        "The share of the run over which the target density comes down from 1; with 0 it holds at once.",
        panel=SPARSITY,
        least=0.0,
        most=1.0,
    )
    learn: str = option(
        "all",
        "What learns: the whole network, the modules that have gates (gated), or the gates alone.",
        panel=SPARSITY,
        choices=("all", "gated", "gates"),
    )
    held_out: tuple[str, ...] | None = option(
        None,
        "Names of sequences, with commas between them, that are scored and not trained on; none holds out"
        " nothing. By default five of DAVIS, or the last frames of each sequence of your own.",
        panel=RUN,
        metavar="NAME,...",
        kind=str,
        parse=lambda text: split_names(text),
    )
    eval_every: int = option(
        0,
        "After how many iterations the held-out sequences are scored again; with 0 only at the end.",
        panel=RUN,
        least=0,
    )

    def __post_init__(self) -> None:
        check_values(self)
        for name in ("average", "start_share"):
            if getattr(self, name) == 1:
                raise out_of_range(name, 1, "less than 1: at 1 nothing would be learned")
        if self.target == 0:
            raise out_of_range("target", 0, "more than 0")
        for name in ("side", "final_side"):
            if (side := getattr(self, name, STRIDE)) % STRIDE:
                raise out_of_range(name, side, f"a multiple of {STRIDE}")
        self.check_batches(1)

    def phases(self) -> tuple[Phase, ...]:
        """The parts of the run, in order; the last one's end is 1."""
        return (Phase(1.0, self.side, self.batch_size, self.frames),)

    def check_batches(self, processes: int) -> None:
        """That a batch can be split evenly, so that no clip is left out.

        Raises:
            InputError: it cannot.
        """
        parts = processes * self.accumulate
        for phase in self.phases():
            if phase.batch_size % parts:
                split = f"{processes} processes x " * (processes > 1) + f"--accumulate {self.accumulate}"
                raise InputError(
                    f"--batch-size {phase.batch_size}",
                    found=f"it is split into {parts} parts ({split})",
                    expected="as many clips in each of them",
                    fix=f"--batch-size {-(-phase.batch_size // parts) * parts}",
                )


@dataclasses.dataclass(frozen=True)
class ClipOptions(TrainOptions):
    """What recipes of short clips have in common.

    Fields without a declaration:
        dice: weight of the Dice distance beside the cross entropy.
    """

    frames: int = option(
        3, "How many frames a clip has; the paper takes 3, and 4 for XMem.", panel=RECIPE, least=2
    )
    dice: float = 0.5
    train_trunk: bool = option(
        False,
        "Whether the lite model's trunk learns too, and does not stay as ImageNet made it.",
        panel=RECIPE,
        names=("--train-trunk/--no-train-trunk",),
    )
    trunk_rate: float = option(
        1.0,
        "How many times as fast as the rest the lite model's trunk learns where it does.",
        panel=RECIPE,
        least=0.0,
    )
    gamma: float = option(5.0, "The weight of the loss that asks for sparsity.", panel=SPARSITY, least=0.0)
    beta: float = option(
        1.0,
        "The weight of the whole network's density beside that of its layers.",
        panel=SPARSITY,
        least=0.0,
    )
    objective: str = option(
        "method",
        "What gates are trained for: to reach the target density, or to cost as little as can be; method is"
        " cost for residual gates and target for the others.",
        panel=SPARSITY,
        choices=("method", "target", "cost"),
    )
    relaxing: float = option(
        2.0,
        "The share of the run after which the density of a single layer is free; with 0 it always is, above 1"
        " never.",
        panel=SPARSITY,
        least=0.0,
    )
    tau: float = option(10.0, "The temperature of the Gumbel softmax.", panel=SPARSITY, least=1e-6)
    noise: float = option(
        0.0,
        "What the Gumbel noise is multiplied by; with 0 gates decide in training as they do afterwards.",
        panel=SPARSITY,
        least=0.0,
    )
    checkpoint_activations: bool = option(
        False,
        "Whether activations are computed again for the backward pass, which takes less memory and more"
        " time.",
        panel=RUN,
        names=("--checkpoint-activations/--keep-activations",),
    )

    def phases(self) -> tuple[Phase, ...]:
        """A single one."""
        return (Phase(1.0, self.side, self.batch_size, self.frames, trunk=self.train_trunk),)


def split_names(text: str) -> tuple[str, ...]:
    """Names with commas between them; none: no name."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    return () if names == ("none",) else names


def flag_of(name: str) -> str:
    """An option as it is written on the command line."""
    return "--" + name.replace("_", "-")


def out_of_range(name: str, value: object, expected: str) -> InputError:
    """The error of a value that an option cannot have."""
    flag = flag_of(name)
    return InputError(f"{flag} {value}", found="out of range", expected=expected, fix=flag)
