"""One sequence's predicted masks against its true ones: scores, and what is wrong with the masks besides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from spvos_cli.evaluation.label_maps import LabelMaps, rescaled
from spvos_cli.evaluation.measures import similarity_and_accuracy
from spvos_cli.evaluation.protocol import ScoringProtocol, VoidRule
from spvos_cli.evaluation.scores import Score

NAMED = 5  # frames or ids that a complaint lists


class SequenceScores(NamedTuple):
    """Attributes: name of the sequence; scores by object; complaints, a line each."""

    name: str
    objects: dict[int, Score]
    complaints: list[str]


class Pair(NamedTuple):
    """What is compared. predicted: no frames where there is no such sequence."""

    truth: LabelMaps
    predicted: LabelMaps


class MaskFindings:
    """What came up while a sequence was read: ids and frames that complaints are about, and how many
    predicted masks there were."""

    def __init__(self) -> None:
        self.late: set[int] = set()
        self.predicted: set[int] = set()
        self.sizes: list[str] = []
        self.missing: list[str] = []
        self.read = 0


def score_pair(pair: Pair, protocol: ScoringProtocol) -> SequenceScores:
    """J and F of every object in every frame that the protocol counts.

    Predicted frames belong to true ones of the same name, or, where no name is the same and there are as many
    of the one as of the other, of the same place. A frame that is missing counts as empty.

    Raises:
        InputError: a mask cannot be read, or has another shape than the true one.
    """
    frames, findings, joined = matched_frames(pair), MaskFindings(), {}
    values: dict[int, list[tuple[str, float, float]]] = {}
    predicted_ids = VoidRule(merge=protocol.merge_objects)
    for frame, truth, counted in _counted(pair.truth, protocol, joined, findings):
        predicted = _predicted(pair, frames.get(frame), truth, frame, predicted_ids, findings)
        for i in counted:
            values.setdefault(i, []).append((frame, *similarity_and_accuracy(predicted == i, truth == i)))
    objects = {i: _score(rows) for i, rows in sorted(values.items())}
    return SequenceScores(
        pair.truth.name, objects, list(_complaints(pair, frames, joined, objects, findings))
    )


def _counted(
    maps: LabelMaps, protocol: ScoringProtocol, joined: dict[int, int], findings: MaskFindings
) -> Iterator[tuple[str, np.ndarray, list[int]]]:
    """Frames with their ids and the objects that count in them; `joined` gets each object's first frame."""
    ids, last = VoidRule(merge=protocol.merge_objects), len(maps.frames) - 1
    for index, frame in enumerate(maps.frames):
        labels, found = ids.apply(maps.read(frame))
        new = [i for i in found if i not in joined]
        if protocol.late_objects or not joined:
            joined.update(dict.fromkeys(new, index))
        else:
            findings.late.update(new)
        counted = [i for i, first in joined.items() if protocol.first_frames or index > first]
        if counted and (index < last or protocol.last_frame):
            yield frame, labels, counted


def _predicted(
    pair: Pair, frame: str | None, truth: np.ndarray, wanted: str, ids: VoidRule, findings: MaskFindings
) -> np.ndarray:
    """The ids (H, W) uint8 of a frame, at the true mask's size."""
    if frame is None:
        findings.missing.append(wanted)
        return np.zeros_like(truth)
    labels, found = ids.apply(pair.predicted.read(frame))
    findings.read += 1
    findings.predicted.update(found)
    if labels.shape != truth.shape:
        findings.sizes.append(wanted)
        labels = rescaled(labels, truth.shape, f"{pair.predicted.name}, frame {frame}")
    return labels


def matched_frames(pair: Pair) -> dict[str, str]:
    """Predicted frames by true ones."""
    true, predicted = pair.truth.frames, pair.predicted.frames
    if len(true) == len(predicted) and not set(true) & set(predicted):
        return dict(zip(true, predicted, strict=True))
    known = set(predicted)
    return {frame: frame for frame in true if frame in known}


def _score(rows: list[tuple[str, float, float]]) -> Score:
    frames, j, f = zip(*rows, strict=True)
    return Score(np.array(j), np.array(f), frames)


def _complaints(
    pair: Pair,
    frames: dict[str, str],
    joined: dict[int, int],
    objects: dict[int, Score],
    findings: MaskFindings,
) -> Iterator[str]:
    extra = [frame for frame in pair.predicted.frames if frame not in frames.values()]
    unseen = sorted(set(objects) - findings.predicted) if findings.read else []
    if not joined:
        yield "no object in the true masks: not scored"
    if findings.missing:
        yield f"{counted_names(findings.missing, 'frame')} without a predicted mask, counted as empty"
    if extra:
        yield f"{counted_names(extra, 'predicted frame')} without a true mask, not scored"
    if findings.sizes:
        yield f"{counted_names(findings.sizes, 'predicted mask')} of another size, rescaled"
    if unseen:
        yield f"{counted_names(unseen, 'true id')} never predicted"
    if ids := sorted(findings.predicted - set(joined) - findings.late):
        yield f"{counted_names(ids, 'predicted id')} not in the first true mask, not scored"
    if findings.late:
        yield f"{counted_names(sorted(findings.late), 'true id')} not in the first true mask, not scored"
    if ids := sorted(set(joined) - set(objects)):
        yield f"{counted_names(ids, 'true id')} without a frame that counts, not scored"
    for maps, whose in ((pair.truth, "true"), (pair.predicted, "predicted")):
        if maps.overlaps:
            yield f"{maps.overlaps} {whose} frame(s) with objects that overlap: the higher id holds"


def counted_names(items: Sequence[str | int], noun: str) -> str:
    """ "3 frames (00001, 00002, 00003)" """
    names = ", ".join(map(str, items[:NAMED])) + (", ..." if len(items) > NAMED else "")
    return f"{len(items)} {noun}{'s' if len(items) > 1 else ''} ({names})"
