"""From J and F of every frame to the benchmark's table.

Equal to the official tool except where that one is at fault: its decay is not a number past 256 frames, it
takes scores from CSV files of an earlier run, and it gives up on an id that the truth lacks. It scores ids 1
to the largest; here it is those that the first annotated mask has.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spvos_cli.evaluation.measures import similarity_and_accuracy

DECAY_BINS = 4


class Statistics(NamedTuple):
    """Attributes: mean; recall, the share above 0.5; decay, the first quarter's mean less the last's."""

    mean: float
    recall: float
    decay: float


class Score(NamedTuple):
    """J and F of one object over the frames of one sequence, (T,) each, and the names of these frames, where
    known."""

    j: np.ndarray
    f: np.ndarray
    frames: tuple[str, ...] = ()


def statistics(values: np.ndarray) -> Statistics:
    """The official summary of per-frame values (T,); bins of any length, where the official tool fails past
    256 frames."""
    edges = np.round(np.linspace(1, len(values), DECAY_BINS + 1) + 1e-10).astype(int) - 1
    bins = [values[edges[i] : edges[i + 1] + 1] for i in range(DECAY_BINS)]
    return Statistics(values.mean(), (values > 0.5).mean(), bins[0].mean() - bins[-1].mean())


def score_sequence(
    predicted: list[np.ndarray], truth: list[np.ndarray], objects: list[int]
) -> dict[int, Score]:
    """J and F of each object in each frame; which frames count is the caller's choice.

    Args:
        predicted, truth: id maps (H, W), a pair a frame.
        objects: ids to score.
    """
    scores = {}
    for i in objects:
        pairs = [similarity_and_accuracy(p == i, t == i) for p, t in zip(predicted, truth, strict=True)]
        scores[i] = Score(*np.array(pairs).T)
    return scores


def global_scores(scores: list[Score]) -> dict[str, float]:
    """The official columns, as fractions, from the scores of all objects of all sequences."""
    columns = {}
    for name, values in (("J", [s.j for s in scores]), ("F", [s.f for s in scores])):
        summary = [statistics(v) for v in values]
        for column in Statistics._fields:
            columns[f"{name}-{column.title()}"] = float(np.mean([getattr(s, column) for s in summary]))
    return {"J&F-Mean": (columns["J-Mean"] + columns["F-Mean"]) / 2, **columns}
