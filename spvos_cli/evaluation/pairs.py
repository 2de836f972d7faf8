"""One sequence's predicted masks against its true ones: scores, and what is wrong with the masks besides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from spvos_cli.evaluation.label_maps import LabelMaps, rescaled
from spvos_cli.evaluation.measures import similarity_and_accuracy
from spvos_cli.evaluation.protocol import Ids, Protocol
from spvos_cli.evaluation.scores import Score

NAMED = 5  # frames or ids that a complaint lists


class Scored(NamedTuple):
    """Attributes: name of the sequence; scores by object; complaints, a line each."""

    name: str
    objects: dict[int, Score]
    complaints: list[str]


class Pair(NamedTuple):
    """What is compared. predicted: no frames where there is no such sequence."""

    truth: LabelMaps
    predicted: LabelMaps


class Seen:
    """What came up while a sequence was read: ids and frames that complaints are about, and how many
    predicted masks there were."""

    def __init__(self) -> None:
        self.late: set[int] = set()
        self.predicted: set[int] = set()
        self.sizes: list[str] = []
        self.missing: list[str] = []
        self.read = 0


def score_pair(pair: Pair, protocol: Protocol) -> Scored:
    """J and F of every object in every frame that the protocol counts.

    Predicted frames belong to true ones of the same name, or, where no name is the same and there are as many
    of the one as of the other, of the same place. A frame that is missing counts as empty.

    Raises:
        InputError: a mask cannot be read, or has another shape than the true one.
    """
    frames, seen, joined = matched_frames(pair), Seen(), {}
    values: dict[int, list[tuple[str, float, float]]] = {}
    predicted_ids = Ids(merge=protocol.merge_objects)
    for frame, truth, counted in _counted(pair.truth, protocol, joined, seen):
        predicted = _predicted(pair, frames.get(frame), truth, frame, predicted_ids, seen)
        for i in counted:
            values.setdefault(i, []).append((frame, *similarity_and_accuracy(predicted == i, truth == i)))
    objects = {i: _score(rows) for i, rows in sorted(values.items())}
    return Scored(pair.truth.name, objects, list(_complaints(pair, frames, joined, objects, seen)))


def _counted(
    maps: LabelMaps, protocol: Protocol, joined: dict[int, int], seen: Seen
) -> Iterator[tuple[str, np.ndarray, list[int]]]:
    """Frames with their ids and the objects that count in them; `joined` gets each object's first frame."""
    ids, last = Ids(merge=protocol.merge_objects), len(maps.frames) - 1
    for index, frame in enumerate(maps.frames):
        labels, found = ids.settle(maps.read(frame))
        new = [i for i in found if i not in joined]
        if protocol.late_objects or not joined:
            joined.update(dict.fromkeys(new, index))
        else:
            seen.late.update(new)
        counted = [i for i, first in joined.items() if protocol.first_frames or index > first]
        if counted and (index < last or protocol.last_frame):
            yield frame, labels, counted


def _predicted(
    pair: Pair, frame: str | None, truth: np.ndarray, wanted: str, ids: Ids, seen: Seen
) -> np.ndarray:
    """The ids (H, W) uint8 of a frame, at the true mask's size."""
    if frame is None:
        seen.missing.append(wanted)
        return np.zeros_like(truth)
    labels, found = ids.settle(pair.predicted.read(frame))
    seen.read += 1
    seen.predicted.update(found)
    if labels.shape != truth.shape:
        seen.sizes.append(wanted)
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
    pair: Pair, frames: dict[str, str], joined: dict[int, int], objects: dict[int, Score], seen: Seen
) -> Iterator[str]:
    extra = [frame for frame in pair.predicted.frames if frame not in frames.values()]
    unseen = sorted(set(objects) - seen.predicted) if seen.read else []
    if not joined:
        yield "no object in the true masks: not scored"
    if seen.missing:
        yield f"{some(seen.missing, 'frame')} without a predicted mask, counted as empty"
    if extra:
        yield f"{some(extra, 'predicted frame')} without a true mask, not scored"
    if seen.sizes:
        yield f"{some(seen.sizes, 'predicted mask')} of another size, rescaled"
    if unseen:
        yield f"{some(unseen, 'true id')} never predicted"
    if ids := sorted(seen.predicted - set(joined) - seen.late):
        yield f"{some(ids, 'predicted id')} not in the first true mask, not scored"
    if seen.late:
        yield f"{some(sorted(seen.late), 'true id')} not in the first true mask, not scored"
    if ids := sorted(set(joined) - set(objects)):
        yield f"{some(ids, 'true id')} without a frame that counts, not scored"
    for maps, whose in ((pair.truth, "true"), (pair.predicted, "predicted")):
        if maps.overlaps:
            yield f"{maps.overlaps} {whose} frame(s) with objects that overlap: the higher id holds"


def some(items: Sequence[str | int], noun: str) -> str:
    """ "3 frames (00001, 00002, 00003)" """
    names = ", ".join(map(str, items[:NAMED])) + (", ..." if len(items) > NAMED else "")
    return f"{len(items)} {noun}{'s' if len(items) > 1 else ''} ({names})"
