"""Running a segmenter over annotated sequences as the DAVIS benchmark prescribes, and scoring what comes
out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import numpy as np

from spvos_cli.data.folders import Sequence
from spvos_cli.evaluation.scores import Score, score_sequence


class Segmenter(Protocol):
    """What is scored: `VideoSegmenter`, or anything else that takes frames one by one."""

    def step(self, frame: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray: ...


class Result(NamedTuple):
    """Attributes: name of the sequence; scores by object id; frames; seconds in the segmenter, files not
    counted."""

    name: str
    scores: dict[int, Score]
    frames: int
    seconds: float


def evaluate(
    sequences: list[Sequence],
    make_segmenter: Callable[[], Segmenter],
    *,
    merge_objects: bool,
    all_frames: bool = False,
) -> Iterator[Result]:
    """Segments each sequence from its first mask and scores it; yields a result a sequence.

    The first frame does not count, nor the last (semi-supervised protocol).

    Args:
        make_segmenter: called once a sequence.
        merge_objects: all ids are one object, as in DAVIS-2016.
        all_frames: the last frame counts too.
    """
    scored = slice(1, None if all_frames else -1)
    for sequence in sequences:
        truth = [sequence.read_mask(i) for i in range(len(sequence.masks))]
        if merge_objects:
            truth = [(ids > 0).astype(np.uint8) for ids in truth]
        predicted, seconds = _segment(sequence, truth[0], make_segmenter())
        objects = [int(i) for i in np.unique(truth[0]) if i]
        yield Result(
            sequence.name, score_sequence(predicted[scored], truth[scored], objects), len(predicted), seconds
        )


def _segment(sequence: Sequence, first: np.ndarray, segmenter: Segmenter) -> tuple[list[np.ndarray], float]:
    predicted, seconds = [], 0.0
    for i in range(len(sequence.frames)):
        frame = sequence.read_frame(i)
        start = time.perf_counter()
        predicted.append(segmenter.step(frame, first if i == 0 else None))
        seconds += time.perf_counter() - start
    return predicted, seconds
