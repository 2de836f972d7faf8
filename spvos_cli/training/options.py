"""How a run trains: a frozen dataclass for each recipe, which travels in the run's checkpoints. The fields
that are declared with `option` are options of `spvos train`."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from spvos_cli.errors import InputError
from spvos_cli.option import declaration, option
from spvos_cli.training.base_options import (
    RECIPE,
    SPARSITY,
    STRIDE,
    ClipOptions,
    Phase,
    TrainOptions,
    flag_of,
    split_names,
)

__all__ = [
    "FINE_TUNING",
    "RECIPE",
    "RECIPES",
    "ClicksOptions",
    "LiteOptions",
    "LongOptions",
    "PaperOptions",
    "StreamOptions",
    "TrainOptions",
    "field_names",
    "recipe_options",
    "split_names",
]


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


@dataclasses.dataclass(frozen=True)
class ClicksOptions(TrainOptions):
    """For the network that makes masks of boxes and clicks (`model.clicks`), from stills:
    `data.click_samples`."""

    recipe: ClassVar[str] = "clicks"
    score: ClassVar[str] = "box+3"
    iterations: int = recipe_default(TrainOptions, "iterations", 10_000)
    learning_rate: float = recipe_default(TrainOptions, "learning_rate", 1e-3)
    turns: int = option(
        2,
        "How often the network is asked about a picture, each time with one more click where it was wrong.",
        panel=RECIPE,
        least=1,
    )
    crowded: float = option(
        0.6,
        "For which share of the pictures one with several objects is looked for.",
        panel=RECIPE,
        least=0.0,
        most=1.0,
    )


FINE_TUNING = LiteOptions(
    iterations=150, batch_size=4, learning_rate=1e-4, start_share=0.5
)  # minutes on two cores
RECIPES: dict[str, type[TrainOptions]] = {
    kind.recipe: kind for kind in (LiteOptions, LongOptions, PaperOptions, StreamOptions, ClicksOptions)
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
                flag_of(name),
                found=f"--recipe {recipe}, which has no such option",
                expected=f"--recipe {' or '.join(having)}",
                fix=f"leave {flag_of(name)} out",
            )
    if fine_tuning and recipe == "lite":
        return dataclasses.replace(FINE_TUNING, **given)
    return RECIPES[recipe](**given)


def field_names(kind: type[TrainOptions]) -> set[str]:
    """Names of the options of a recipe that the command has."""
    return {field.name for field in dataclasses.fields(kind) if declaration(field)}
