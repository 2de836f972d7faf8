"""One sequence's predicted masks against its true ones: scores, and what is wrong with the masks besides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from spvos_cli.errors import InputError
from spvos_cli.evaluation.frames import check_first_frame, match_frames
from spvos_cli.evaluation.label_maps import LabelImages, LabelMaps, rescaled
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
    """What is compared.

    Attributes:
        truth, predicted: the masks; predicted ones without frames where there is no such sequence.
        ids_agree: the predicted masks were made from the true ones, so that ids mean the same.
    """

    truth: LabelMaps
    predicted: LabelMaps
    ids_agree: bool = False


class MaskFindings:
    """What came up while a sequence was read, and complaints or refusals are about.

    Attributes:
        joined: true ids that count, by the index of their first frame.
        late: true ids that do not count, since the first true mask lacks them.
        predicted: ids in predicted masks.
        sizes: frames whose predicted mask has another size.
        missing: frames without a predicted mask.
        read: predicted masks.
        agreement: pixels by whether they are object in the predicted mask, and in the true one: (2, 2).
        rim: of the pixels at the frames' rims: how many are predicted to be object, and how many there are.
    """

    def __init__(self) -> None:
        self.joined: dict[int, int] = {}
        self.late: set[int] = set()
        self.predicted: set[int] = set()
        self.sizes: list[str] = []
        self.missing: list[str] = []
        self.read = 0
        self.agreement = np.zeros((2, 2))
        self.rim = np.zeros(2)

    def add(self, predicted: np.ndarray, truth: np.ndarray) -> None:
        """Counts a frame's pixels (H, W)."""
        found, true = predicted > 0, truth > 0
        both, ours, theirs = (np.count_nonzero(mask) for mask in (found & true, found, true))
        self.agreement += [[found.size - ours - theirs + both, theirs - both], [ours - both, both]]
        sides = found[0], found[-1], found[:, 0], found[:, -1]
        self.rim += sum(map(np.count_nonzero, sides)), sum(side.size for side in sides)

    @property
    def inverted(self) -> bool:
        """Whether the predicted background is what the true masks show as objects."""
        (_, missed), (_, both) = self.agreement
        like_truth = both / max(1, both + self.agreement[1, 0] + missed)
        like_ground = missed / max(1, missed + self.agreement[0, 0] + both)
        return bool(like_ground > 0.5 and like_truth < 0.1 and self.rim[0] > 0.5 * self.rim[1])


def score_pair(pair: Pair, protocol: ScoringProtocol) -> SequenceScores:
    """J and F of every object in every frame that the protocol counts; see `match_frames` for what belongs
    together. A frame that is missing counts as empty. Where there is one true id and one predicted one, these
    are the same object.

    Raises:
        InputError: a mask cannot be read, or has another shape than the true one; names are shifted, ids
            others, or masks inverted, so that a score would not say how good they are.
    """
    match = match_frames(pair.truth, pair.predicted)
    check_first_frame(pair.truth, pair.predicted, match.frames)
    objects, findings = _score_frames(pair, protocol, match.frames)
    if findings.inverted:
        raise InputError(
            pair.predicted.name,
            found="masks whose background is where the true objects are",
            expected="objects that are not 0 or black",
            fix="invert the masks",
        )
    true, found = set(findings.joined) | findings.late, findings.predicted
    _check_colours(pair, true, found, protocol)
    remarks = [match.remark] if match.remark else []
    if found and true and not found & true:
        if len(found) > 1 or len(true) > 1:
            raise InputError(
                pair.predicted.name,
                found=counted_names(sorted(found), "id"),
                expected=f"the true masks' {counted_names(sorted(true), 'id')}",
                fix="--merge-objects, or masks with the true ids",
            )
        remarks.append(f"the only predicted id, {min(found)}, is taken for the only true one, {min(true)}")
        objects, findings = _score_frames(pair, protocol, match.frames, renamed={min(found): min(true)})
    complaints = [*remarks, *_complaints(pair, match.frames, objects, findings)]
    return SequenceScores(pair.truth.name, objects, complaints)


def _check_colours(pair: Pair, true: set[int], found: set[int], protocol: ScoringProtocol) -> None:
    """Which id a colour of a class is, is known where there is one object, or where both sides have colours.

    Raises:
        InputError: it is not known.
    """
    coloured = [isinstance(maps, LabelImages) and bool(maps.coloured) for maps in pair[:2]]
    if pair.ids_agree or coloured[0] == coloured[1] or protocol.merge_objects:
        return
    if max(len(true), len(found)) > 1:
        raise InputError(
            pair.truth.name if coloured[0] else pair.predicted.name,
            found="colours that are not DAVIS's palette, whose order says nothing about ids",
            expected="ids, or the same colours in the true and the predicted masks",
            fix="--merge-objects, or indexed PNGs",
        )


def _score_frames(
    pair: Pair, protocol: ScoringProtocol, frames: Mapping[str, str], renamed: Mapping[int, int] = {}
) -> tuple[dict[int, Score], MaskFindings]:
    """Scores by object.

    Args:
        frames: predicted ones by true ones.
        renamed: true ids by the predicted ones that stand for them.
    """
    findings = MaskFindings()
    values: dict[int, list[tuple[str, float, float]]] = {}
    predicted_ids = VoidRule(merge=protocol.merge_objects)
    for frame, truth, counted in _counted(pair.truth, protocol, findings):
        predicted = _predicted(pair, frames.get(frame), truth, frame, predicted_ids, findings)
        for found, true in renamed.items():
            predicted = np.where(predicted == found, np.uint8(true), predicted)
            findings.predicted = {renamed.get(i, i) for i in findings.predicted}
        findings.add(predicted, truth)
        for i in counted:
            values.setdefault(i, []).append((frame, *similarity_and_accuracy(predicted == i, truth == i)))
    return {i: _score(rows) for i, rows in sorted(values.items())}, findings


def _counted(
    maps: LabelMaps, protocol: ScoringProtocol, findings: MaskFindings
) -> Iterator[tuple[str, np.ndarray, list[int]]]:
    """Frames with their ids and the objects that count in them."""
    ids, last, joined = VoidRule(merge=protocol.merge_objects), len(maps.frames) - 1, findings.joined
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


def _score(rows: list[tuple[str, float, float]]) -> Score:
    frames, j, f = zip(*rows, strict=True)
    return Score(np.array(j), np.array(f), frames)


def _complaints(
    pair: Pair, frames: Mapping[str, str], objects: Mapping[int, Score], findings: MaskFindings
) -> Iterator[str]:
    joined, used = findings.joined, set(frames.values())
    extra = [frame for frame in pair.predicted.frames if frame not in used]
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
        if maps.remarks:
            more = f" ({len(maps.remarks)} such remarks)" if len(maps.remarks) > 1 else ""
            yield f"{maps.remarks[0]}{more}"
        if maps.overlaps:
            yield f"{maps.overlaps} {whose} frame(s) with objects that overlap: the higher id holds"


def counted_names(items: Sequence[str | int], noun: str) -> str:
    """ "3 frames (00001, 00002, 00003)" """
    names = ", ".join(map(str, items[:NAMED])) + (", ..." if len(items) > NAMED else "")
    return f"{len(items)} {noun}{'s' if len(items) > 1 else ''} ({names})"
