"""Running a segmenter over annotated sequences as the DAVIS benchmark prescribes, and scoring what comes
out, all of it in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from spvos_cli.data.folders import VideoSequence
from spvos_cli.evaluation.colours import true_masks
from spvos_cli.evaluation.label_maps import HeldLabels
from spvos_cli.evaluation.pairs import Pair, SequenceScores, score_pair
from spvos_cli.evaluation.protocol import ScoringProtocol, VoidRule
from spvos_cli.inference.steps import GivenFrame, Segmenter, segment_sequence


def evaluate(
    sequences: list[VideoSequence],
    make_segmenter: Callable[[], Segmenter],
    *,
    merge_objects: bool,
    all_frames: bool = False,
) -> Iterator[SequenceScores]:
    """Segments each sequence from its first mask and scores it; yields its scores.

    The first frame does not count, nor the last (semi-supervised protocol).

    Args:
        make_segmenter: called once a sequence.
        merge_objects: all ids are one object, as in DAVIS-2016.
        all_frames: the last frame counts too.
    """
    protocol = ScoringProtocol(merge_objects=merge_objects, last_frame=all_frames)
    for sequence in sequences:
        names = [frame.stem for frame in sequence.frames]
        truth = true_masks(sequence.name, dict(zip(names, sequence.masks, strict=True)))
        first, _ = VoidRule(merge=merge_objects).apply(truth.read(names[0]))
        steps = segment_sequence(make_segmenter(), _given(sequence, names, first))
        predicted = HeldLabels(sequence.name, {step.name: step.labels for step in steps})
        yield score_pair(Pair(truth, predicted, ids_agree=True), protocol)


def _given(sequence: VideoSequence, names: list[str], first: np.ndarray) -> Iterator[GivenFrame]:
    for i, name in enumerate(names):
        yield GivenFrame(name, sequence.read_frame(i), first if i == 0 else None)
