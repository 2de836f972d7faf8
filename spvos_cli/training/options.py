"""How a run trains: a frozen dataclass that travels in its checkpoints, and the two recipes."""

from __future__ import annotations

import dataclasses
from typing import Any

HELD_OUT = ("breakdance-flare", "dog-agility", "drift-turn", "kite-walk", "soccerball")


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """The lite recipe; `PAPER` is the paper's.

    Attributes:
        recipe: how clips are made: `lite` or `paper`; `stream`: no clips but streams as at test time, from
            which the decoder's gates learn what their decisions do to the mask, and with `learn` at `gated`
            the decoder to say with gates what it said without.
        iterations, batch_size: optimiser steps, and clips in each, over all processes.
        accumulate: parts that a process splits its share of a batch into.
        learning_rate: the peak.
        start_rate, final_rate: the first and the last one, as shares of it.
        warmup, hold: shares of the run after which the peak is reached, and left for the cosine.
        gate_rate: how many times faster gates learn.
        weight_decay: AdamW's; biases and scales have none in the lite recipe.
        clip_norm: gradients are scaled to at most this norm; 0: they are not.
        average: decay of the running average of the weights, which is what ships; 0: the weights themselves
            do.
        frames, side: length of a clip, and height and width of its frames.
        max_gap: largest distance between two frames of a lite clip.
        sparse_gap: the same from a lite clip's third frame on, where frames run sparsely; None: as before it.
        sparse_motion: by what share of the recipe's those are moved, bent and recoloured against the frame
            before; at 0 only what moves in the video moves.
        dice: weight of the Dice distance beside the cross entropy.
        gamma, beta: weights of the sparsity objective, and in it of the network's density beside the layers'.
        target: the density that gates are trained to.
        objective: `target`: the density shall be the target; `cost`: as low as possible; `method`: `cost` for
            the residual method, `target` for the others.
        anneal: share of the run over which the target comes down from 1; 0: it is the same throughout.
        relaxing: share of the run after which a layer's density is free; above 1 it never is, at 0 always.
        tau: temperature of the Gumbel softmax.
        noise: what its noise is multiplied by; 0: gates decide in training as they do at test time.
        train_trunk: whether the lite model's trunk learns too.
        learn: `all`; `gated`: only the modules that have gates; `gates`: only the gates.
        checkpoint_activations: whether activations are computed again for the backward pass, to save memory.
        held_out: names of sequences kept out of training and scored.
        eval_every: iterations between scores on them; 0: at the end alone.
        seed: of weights, clips and noise.
    """

    recipe: str = "lite"
    iterations: int = 20_000
    batch_size: int = 8
    accumulate: int = 1
    learning_rate: float = 5e-4
    start_rate: float = 0.005
    final_rate: float = 0.01
    warmup: float = 0.015
    hold: float = 0.015
    gate_rate: float = 3.0
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    average: float = 0.999
    frames: int = 3
    side: int = 256
    max_gap: int = 25
    sparse_gap: int | None = None
    sparse_motion: float = 1.0
    dice: float = 0.5
    gamma: float = 5.0
    beta: float = 1.0
    target: float = 0.1
    objective: str = "method"
    anneal: float = 0.1
    relaxing: float = 2.0
    tau: float = 10.0
    noise: float = 0.0
    train_trunk: bool = False
    learn: str = "all"
    checkpoint_activations: bool = False
    held_out: tuple[str, ...] = HELD_OUT
    eval_every: int = 0
    seed: int = 0


PAPER = TrainOptions(  # Section III-D and IV-B2; AdamW 1e-6 -> 2e-5 -> 1e-6 over 160,000 iterations
    recipe="paper",
    iterations=160_000,
    batch_size=16,
    learning_rate=2e-5,
    start_rate=0.05,
    final_rate=0.05,
    warmup=8_000 / 160_000,
    hold=32_000 / 160_000,
    clip_norm=0.0,
    average=0.0,
    side=384,
    gate_rate=1.0,
    dice=0.0,
    gamma=1.0,
    anneal=0.0,
    relaxing=0.33,
    tau=1.0,
    noise=1.0,
)
FINE_TUNING = TrainOptions(iterations=150, batch_size=4, learning_rate=1e-4)  # minutes on two cores
STREAM = TrainOptions(
    recipe="stream",
    iterations=1200,
    batch_size=2,
    learning_rate=3e-4,
    gate_rate=1.0,
    weight_decay=0.0,
    average=0.99,
    side=384,
    anneal=0.0,
    learn="gates",
)
RECIPES = {"lite": TrainOptions(), "paper": PAPER, "stream": STREAM}


def recipe_options(recipe: str, *, fine_tuning: bool = False, **given: Any) -> TrainOptions:
    """A recipe's options with those that were given, None standing for not given.

    Args:
        fine_tuning: from weights on frames of one's own: of the lite recipe a short run at a low rate.
    """
    base = FINE_TUNING if fine_tuning and recipe == "lite" else RECIPES[recipe]
    return dataclasses.replace(base, **{name: v for name, v in given.items() if v is not None})
