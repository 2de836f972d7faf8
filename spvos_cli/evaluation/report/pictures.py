"""The worst frames of an evaluation, as pictures of what was found and of what is wrong with it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from spvos_cli.data.folders import PAIRS, read_frame
from spvos_cli.evaluation.frames import match_frames
from spvos_cli.evaluation.label_maps import LabelImages, LabelMaps, rescaled
from spvos_cli.evaluation.pairs import Pair, SequenceScores
from spvos_cli.evaluation.protocol import VoidRule
from spvos_cli.files import images_in
from spvos_cli.video.paint import Look, paint_overlay
from spvos_cli.video.palettes import voc_palette

PICTURES = 24  # in a report at most
WIDTH, QUALITY = 640, 75  # of a picture, in pixels and as JPEG has it
MISSED, FALSE = (40, 110, 255), (255, 120, 0)  # colours of errors

Frames = Mapping[str, Mapping[str, Path]]  # image files by sequence and frame


class Picture(NamedTuple):
    """One object's worst frame.

    Attributes:
        sequence, object, frame: what it shows.
        j, f: the scores there.
        found: all masks that were found, a picture as a data URI.
        errors: the object's outline in truth, and what is wrong with its mask, the same.
    """

    sequence: str
    object: int
    frame: str
    j: float
    f: float
    found: str
    errors: str


def worst_frames(
    pairs: list[Pair], scored: list[SequenceScores], frames: Frames, limit: int, *, merge: bool
) -> list[Picture]:
    """The frame of each object whose J&F is lowest, the worst objects first.

    Args:
        frames: the images, as far as they are there; masks are drawn on black without.
        limit: pictures at most.
        merge: all ids are one object.
    """
    found = []
    for pair, scores in zip(pairs, scored, strict=True):
        for i, score in scores.objects.items():
            worst = int(np.argmin(score.j + score.f))
            found.append((score.j[worst], score.f[worst], i, score.frames[worst], pair))
    found.sort(key=lambda row: row[0] + row[1])
    return [_picture(pair, frame, i, j, f, frames, merge) for j, f, i, frame, pair in found[:limit]]


def images_beside(pairs: list[Pair]) -> Frames:
    """The images that the true masks belong to, where they lie in the folder that datasets have them in."""
    return {pair.truth.name: _images_beside(pair.truth) for pair in pairs}


def _images_beside(maps: LabelMaps) -> dict[str, Path]:
    folder = next(iter(maps.files.values())).parent if isinstance(maps, LabelImages) else Path()
    for images, masks in PAIRS:
        if masks in folder.parts:
            place = folder.parts.index(masks)
            beside = Path(*folder.parts[:place], images, *folder.parts[place + 1 :])
            if files := images_in(beside):
                return {file.stem: file for file in files}
    return {}


def paint_errors(image: np.ndarray, true: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The frame (H, W, 3) with what was missed of an object, what was found in error, and the line around
    what is true.

    Args:
        true, found: (H, W) bool.
    """
    result = image.copy()
    for wrong, colour in ((true & ~found, MISSED), (found & ~true, FALSE)):
        result[wrong] = 0.3 * image[wrong] + 0.7 * np.array(colour)
    width = Look(voc_palette()).line(*true.shape)
    outlines, _ = cv2.findContours(true.view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(result, outlines, -1, (255, 255, 255), width))


def _picture(pair: Pair, frame: str, i: int, j: float, f: float, frames: Frames, merge: bool) -> Picture:
    counterpart = match_frames(pair.truth, pair.predicted).frames.get(frame)
    true = _labels(pair.truth, frame, merge)
    predicted = np.zeros_like(true) if counterpart is None else _labels(pair.predicted, counterpart, merge)
    predicted = rescaled(predicted, true.shape, pair.predicted.name)
    file = frames.get(pair.truth.name, {}).get(frame)
    image = np.zeros((*true.shape, 3), np.uint8) if file is None else read_frame(file)
    image = cv2.resize(image, true.shape[::-1], interpolation=cv2.INTER_AREA)
    pictures = (
        paint_overlay(image, predicted, Look(voc_palette())),
        paint_errors(image, true == i, predicted == i),
    )
    return Picture(pair.truth.name, i, frame, float(j), float(f), *map(_data_uri, pictures))


def _labels(maps: LabelMaps, frame: str, merge: bool) -> np.ndarray:
    return VoidRule(merge=merge).apply(maps.read(frame))[0]


def _data_uri(image: np.ndarray) -> str:
    height = round(image.shape[0] * WIDTH / image.shape[1])
    small = cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", small[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode()
