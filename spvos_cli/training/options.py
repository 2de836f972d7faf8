"""How a run trains: a frozen dataclass for each recipe, which travels in the run's checkpoints. The fields
that are declared with `option` are options of `spvos train`."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, NamedTuple

from spvos_cli.errors import InputError
from spvos_cli.option import check_values, declaration, option

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
        if self.average == 1:
            raise _wrong("average", 1, "less than 1: at 1 nothing would be learned")
        if self.target == 0:
            raise _wrong("target", 0, "more than 0")
        for name in ("side", "final_side"):
            if (side := getattr(self, name, STRIDE)) % STRIDE:
                raise _wrong(name, side, f"a multiple of {STRIDE}")
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

    frames: int = option(3, "How many frames a clip has.", panel=RECIPE, least=2)
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


def recipe_default(recipe: type, name: str, default: Any) -> Any:
    """A field that `recipe` declares, with another default."""
    (field,) = (field for field in dataclasses.fields(recipe) if field.name == name)
    return dataclasses.field(default=default, metadata=field.metadata)


@dataclasses.dataclass(frozen=True)
class LiteOptions(ClipOptions):
    """Ours, for the lite model: `data.lite_clips`."""

    recipe: ClassVar[str] = "lite"
    max_gap: int = option(
        25, "The largest distance in frames between two frames of a clip.", panel=RECIPE, least=1
    )
    sparse_gap: int | None = option(
        None,
        "The largest distance in frames from the second frame of a clip on, where gates decide. By default as"
        " before it.",
        panel=SPARSITY,
        least=1,
    )
    sparse_motion: float = option(
        1.0,
        "How much of the made-up motion there is where gates decide; with 0 only what moves in the video"
        " moves.",
        panel=SPARSITY,
        least=0.0,
    )


@dataclasses.dataclass(frozen=True)
class LongOptions(LiteOptions):
    """The lite recipe for a long run: stills first, then videos and stills, at its end longer and larger
    clips, and the trunk late."""

    recipe: ClassVar[str] = "long"
    iterations: int = recipe_default(LiteOptions, "iterations", 40_000)
    average: float = recipe_default(LiteOptions, "average", 0.9995)
    trunk_rate: float = recipe_default(LiteOptions, "trunk_rate", 0.1)
    stills_share: float = option(
        0.35,
        "The share of the run at its start that learns from stills alone.",
        panel=RECIPE,
        least=0.0,
        most=1.0,
    )
    videos_share: float = option(
        0.5, "How many of the clips are of videos once there are videos.", panel=RECIPE, least=0.0, most=1.0
    )
    final_share: float = option(
        0.2,
        "The share of the run at its end that has longer and larger clips.",
        panel=RECIPE,
        least=0.0,
        most=1.0,
    )
    final_frames: int = option(5, "How many frames a clip has at the end of the run.", panel=RECIPE, least=2)
    final_side: int = option(
        384,
        "Height and width of a training frame at the end of the run, a multiple of 16.",
        panel=RECIPE,
        least=4 * STRIDE,
    )
    final_batch_size: int = option(
        4, "How many clips a step has at the end of the run, over all processes.", panel=RECIPE, least=1
    )
    trunk_share: float = option(
        0.2,
        "The share of the run at its end in which the lite model's trunk learns.",
        panel=RECIPE,
        least=0.0,
        most=1.0,
    )

    def phases(self) -> tuple[Phase, ...]:
        """Cut where the stills end, where the trunk begins to learn and where clips grow."""
        final, trunk = 1 - self.final_share, 0.0 if self.train_trunk else 1 - self.trunk_share
        ends = sorted({end for end in (self.stills_share, final, trunk) if 0 < end < 1} | {1.0})
        starts = [0.0, *ends[:-1]]
        phases = []
        for start, end in zip(starts, ends, strict=True):
            videos = 0.0 if start < self.stills_share else self.videos_share
            clips = (self.side, self.batch_size, self.frames)
            if start >= final:
                clips = (self.final_side, self.final_batch_size, self.final_frames)
            phases.append(Phase(end, *clips, videos, trunk=start >= trunk))
        return tuple(phases)


@dataclasses.dataclass(frozen=True)
class PaperOptions(ClipOptions):
    """The paper's recipe (Section III-D and IV-B2), whose clips are STCN's: AdamW 1e-6 -> 2e-5 -> 1e-6 over
    160,000 iterations."""

    recipe: ClassVar[str] = "paper"
    triple_start: ClassVar[tuple[float, float, float]] = (0.0, 0.0, 5.0)
    iterations: int = recipe_default(ClipOptions, "iterations", 160_000)
    batch_size: int = recipe_default(ClipOptions, "batch_size", 16)
    learning_rate: float = recipe_default(ClipOptions, "learning_rate", 2e-5)
    start_rate: float = 0.05
    final_rate: float = 0.05
    warmup: float = 8_000 / 160_000
    hold: float = 32_000 / 160_000
    clip_norm: float = 0.0
    average: float = recipe_default(ClipOptions, "average", 0.0)
    side: int = recipe_default(ClipOptions, "side", 384)
    gate_rate: float = recipe_default(ClipOptions, "gate_rate", 1.0)
    dice: float = 0.0
    gamma: float = recipe_default(ClipOptions, "gamma", 1.0)
    anneal: float = recipe_default(ClipOptions, "anneal", 0.0)
    relaxing: float = recipe_default(ClipOptions, "relaxing", 0.33)
    tau: float = recipe_default(ClipOptions, "tau", 1.0)
    noise: float = recipe_default(ClipOptions, "noise", 1.0)


@dataclasses.dataclass(frozen=True)
class StreamOptions(TrainOptions):
    """For the gates in the decoder of trained weights: they learn from videos as at test time what their
    decisions do to the mask; where the decoder learns beside them, to say with gates what it said without."""

    recipe: ClassVar[str] = "stream"
    iterations: int = recipe_default(TrainOptions, "iterations", 1200)
    batch_size: int = recipe_default(TrainOptions, "batch_size", 2)
    learning_rate: float = recipe_default(TrainOptions, "learning_rate", 3e-4)
    gate_rate: float = recipe_default(TrainOptions, "gate_rate", 1.0)
    weight_decay: float = 0.0
    average: float = recipe_default(TrainOptions, "average", 0.99)
    side: int = recipe_default(TrainOptions, "side", 384)
    anneal: float = recipe_default(TrainOptions, "anneal", 0.0)
    learn: str = recipe_default(TrainOptions, "learn", "gates")


FINE_TUNING = LiteOptions(iterations=150, batch_size=4, learning_rate=1e-4)  # minutes on two cores
RECIPES: dict[str, type[TrainOptions]] = {
    kind.recipe: kind for kind in (LiteOptions, LongOptions, PaperOptions, StreamOptions)
}


def recipe_options(recipe: str = "lite", *, fine_tuning: bool = False, **given: Any) -> TrainOptions:
    """A recipe's options with those that were given, None standing for not given.

    Args:
        fine_tuning: from weights on frames of one's own: of the lite recipe a short run at a low rate.

    Raises:
        InputError: the recipe has no such option, or a value that it cannot have.
    """
    given = {name: value for name, value in given.items() if value is not None}
    known = {field.name for field in dataclasses.fields(RECIPES[recipe])}
    for name in given:
        if name not in known:
            having = [other for other, kind in RECIPES.items() if name in field_names(kind)]
            raise InputError(
                _flag(name),
                found=f"--recipe {recipe}, which has no such option",
                expected=f"--recipe {' or '.join(having)}",
                fix=f"leave {_flag(name)} out",
            )
    if fine_tuning and recipe == "lite":
        return dataclasses.replace(FINE_TUNING, **given)
    return RECIPES[recipe](**given)


def field_names(kind: type[TrainOptions]) -> set[str]:
    """Names of the options of a recipe that the command has."""
    return {field.name for field in dataclasses.fields(kind) if declaration(field)}


def split_names(text: str) -> tuple[str, ...]:
    """Names with commas between them; none: no name."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    return () if names == ("none",) else names


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _wrong(name: str, value: object, expected: str) -> InputError:
    flag = _flag(name)
    return InputError(f"{flag} {value}", found="out of range", expected=expected, fix=flag)
