"""Masks in JSON: labelme's shapes, and COCO's (what spvos writes is one)."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.video.frames import Note, Source, check_size, no_note
from spvos_cli.video.mask_coco import JsonMask, as_coco, read_coco
from spvos_cli.video.small_ids import MOST_OBJECTS

A_JSON = "labelme's JSON (shapes), or COCO's (images, annotations)"
WITHOUT_AREA = ("point", "points", "line", "linestrip")
BROKEN = (
    KeyError,
    TypeError,
    ValueError,
    IndexError,
    AttributeError,
    OverflowError,
    MemoryError,
    OSError,
    RecursionError,
)  # of another structure


def is_mask_json(path: Path) -> bool:
    """Whether a file looks like one of these."""
    try:
        data = json.loads(path.read_bytes())
        return (isinstance(data, dict) and "shapes" in data) or as_coco(data) is not None
    except BROKEN:
        return False


def read_mask_json(
    path: Path, source: Source, names: dict[Any, int] | None = None, note: Note = no_note
) -> list[JsonMask]:
    """The masks in a file, in the order of frames.

    An object's id is its `track_id`, `object_id` or, where every image has at most one annotation of a
    category, its category; else annotations are objects in their order. In labelme's, a label (with its
    group) is an object.

    Args:
        names: the ids of labelme's labels so far; new ones are added.
        note: takes remarks about what is guessed or left out.

    Raises:
        InputError: it is no JSON, or another kind.
    """
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(path, found="not readable as JSON", expected=A_JSON, fix="--mask MASK") from error
    try:
        if isinstance(data, dict) and "shapes" in data:
            return [_labelme(path, data, source, {} if names is None else names, note)]
        if (coco := as_coco(data)) is not None:
            return read_coco(path, coco, source, note)
    except BROKEN as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            path, found=f"JSON that is damaged ({reason})", expected=A_JSON, fix="--mask MASK"
        ) from error
    raise InputError(path, found="JSON of another kind", expected=A_JSON, fix="--mask MASK")


def _labelme(path: Path, data: dict[str, Any], source: Source, names: dict[Any, int], note: Note) -> JsonMask:
    height = int(data.get("imageHeight") or source.height)
    width = int(data.get("imageWidth") or source.width)
    check_size(width, height, path, "--mask MASK")
    ids = np.zeros((height, width), np.uint8)
    shapes = [shape for shape in data["shapes"] if shape.get("shape_type") not in WITHOUT_AREA]
    if len(shapes) < len(data["shapes"]):
        note(f"{path}: {len(data['shapes']) - len(shapes)} lines and points have no area and are left out")
    for shape in shapes:
        key = shape.get("label"), shape.get("group_id")
        number = names.setdefault(key, len(names) + 1)
        _check_count(path, number)
        ids[_drawn(shape, height, width)] = number
    return JsonMask(path.stem, None, ids)


def _drawn(shape: dict[str, Any], height: int, width: int) -> np.ndarray:
    """(H, W) bool of one of labelme's shapes that have an area."""
    kind = shape.get("shape_type") or "polygon"
    canvas, corners = (
        np.zeros((height, width), np.uint8),
        np.array(shape["points"], np.float64).reshape(-1, 2),
    )
    if not np.isfinite(corners).all():
        raise ValueError("points that are no numbers")
    corners = corners.clip((-width, -height), (2 * width, 2 * height))
    if kind == "rectangle":
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    if kind == "circle":
        radius = float(np.hypot(*(corners[1] - corners[0])))
        centre = round(corners[0][0]), round(corners[0][1])
        cv2.circle(canvas, centre, max(0, round(radius)), (1,), -1)
    elif kind == "mask":
        _paste(canvas, shape["mask"], *np.rint(corners.min(axis=0)).astype(int).tolist())
    else:
        cv2.fillPoly(canvas, [np.rint(corners).astype(np.int32)], (1,))
    return canvas > 0


def _paste(canvas: np.ndarray, text: str, left: int, top: int) -> None:
    """A PNG in base64, of the part of the image that begins at a corner."""
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        check_size(image.width, image.height, "mask", "--mask MASK")
        whole = Image.fromarray(canvas)
        whole.paste(image.convert("L").point(bool), (left, top))
    canvas[:] = np.array(whole)


def _check_count(path: Path, number: int) -> None:
    if not 1 <= number <= MOST_OBJECTS:
        raise InputError(
            path, found=f"object {number}", expected=f"ids from 1 to {MOST_OBJECTS}", fix="--mask MASK"
        )
