"""Scoring many sequences, in as many processes as may be used."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2

from spvos_cli.errors import InputError
from spvos_cli.evaluation.colours import number_colours
from spvos_cli.evaluation.find import MaskSet, find_label_maps
from spvos_cli.evaluation.label_maps import LabelMaps, ObjectImages
from spvos_cli.evaluation.pairs import Pair, SequenceScores, counted_names, score_pair
from spvos_cli.evaluation.protocol import ScoringProtocol
from spvos_cli.evaluation.report.deliver import Outputs
from spvos_cli.evaluation.report.pictures import PICTURES, images_beside, worst_frames
from spvos_cli.evaluation.report.results import Evaluation
from spvos_cli.processors import default_threads
from spvos_cli.ui import Reporter


class SequencePairs(NamedTuple):
    """Attributes: pairs of sequences; complaints about what has no counterpart."""

    pairs: list[Pair]
    complaints: list[str]


def evaluate_folders(
    predicted: Path,
    truth: Path,
    protocol: ScoringProtocol,
    outputs: Outputs,
    *,
    workers: int | None = None,
    reporter: Reporter,
) -> None:
    """Scores the masks at one path against those at another; see `find_label_maps` for what may be there.

    Args:
        workers: processes; None: as many as this process may use.

    Raises:
        InputError: there are no masks, none belong together, or some cannot be compared.
    """
    sides = find_label_maps(truth, "--truth"), find_label_maps(predicted, "--pred")
    reporter.note(f"truth: {sides[0].layout}; predicted: {sides[1].layout}")
    matched = match_sequences(*sides)
    scored = score_all(matched.pairs, protocol, workers, reporter)
    title = f"{predicted} against {truth}"
    evaluation = Evaluation(title, protocol.describe(), scored, matched.complaints)
    wanted = PICTURES if outputs.report else 0
    images = images_beside(matched.pairs)
    pictures = worst_frames(matched.pairs, scored, images, wanted, merge=protocol.merge_objects)
    outputs.deliver(evaluation, pictures, {}, reporter)


def match_sequences(truth: MaskSet, predicted: MaskSet) -> SequencePairs:
    """Sequences of the same name; where each side has just one, whatever their names.

    Raises:
        InputError: no sequence has a counterpart.
    """
    _number_alike(truth, predicted)
    if len(truth.maps) == len(predicted.maps) == 1:
        return SequencePairs([_pair(*truth.maps.values(), *predicted.maps.values())], [])
    names = [name for name in truth.maps if name in predicted.maps]
    if not names:
        found, expected = (counted_names(list(maps), "sequence") for maps in (predicted.maps, truth.maps))
        raise InputError(
            "--pred", found=found, expected=f"the names in --truth: {expected}", fix="rename the folders"
        )
    complaints = [
        f"{counted_names(alone, 'sequence')} without {other} masks, left out"
        for maps, other in ((truth.maps, "predicted"), (predicted.maps, "true"))
        if (alone := [name for name in maps if name not in names])
    ]
    return SequencePairs([_pair(truth.maps[name], predicted.maps[name]) for name in names], complaints)


def _pair(truth: LabelMaps, predicted: LabelMaps) -> Pair:
    number_colours(truth, predicted)
    return Pair(truth, predicted)


def score_all(
    pairs: list[Pair], protocol: ScoringProtocol, workers: int | None, reporter: Reporter
) -> list[SequenceScores]:
    """The scores of each pair, in their order; a bar on stderr tells how far it is.

    Args:
        workers: processes; None: as many as this process may use.

    Raises:
        InputError: as `score_pair`.
    """
    workers = min(workers or default_threads(), len(pairs))
    results = reporter.track(_scores(pairs, protocol, workers), len(pairs), "scoring", rate="sequences/s")
    return list(results)


def _scores(pairs: list[Pair], protocol: ScoringProtocol, workers: int) -> Iterator[SequenceScores]:
    score = partial(score_pair, protocol=protocol)
    if workers <= 1:
        yield from map(score, pairs)
        return
    # Processes are spawned: a fork of a process with PyTorch's threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_prepare_worker) as pool:
        try:
            yield from pool.map(score, pairs)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _prepare_worker() -> None:
    """One processor each; an interrupt is for the process that started them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def _number_alike(*sides: MaskSet) -> None:
    """Objects are numbered from 1 on both sides where either has a folder 0."""
    maps = [maps for side in sides for maps in side.maps.values() if isinstance(maps, ObjectImages)]
    first_id = max((m.first_id for m in maps), default=0)
    for m in maps:
        m.first_id = first_id
