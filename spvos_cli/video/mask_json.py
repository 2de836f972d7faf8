"""Masks in JSON: labelme's polygons, and COCO's polygons and run lengths (what spvos writes is one)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from spvos_cli.errors import InputError
from spvos_cli.video.frames import Source, check_size
from spvos_cli.video.masks import MOST_OBJECTS, Mask
from spvos_cli.video.numbers import frames_of
from spvos_cli.video.palettes import voc_palette

A_JSON = "labelme's JSON (shapes), or COCO's (images, annotations)"
BROKEN = (
    KeyError,
    TypeError,
    ValueError,
    IndexError,
    AttributeError,
    OverflowError,
    MemoryError,
)  # of another structure


class JsonMask(NamedTuple):
    """The objects of one image.

    Attributes:
        name: of the image that they belong to.
        frame: the frame of that name; None where the file does not say.
        ids: (H, W) uint8.
    """

    name: str
    frame: int | None
    ids: np.ndarray

    def mask(self) -> Mask:
        """As other masks are."""
        return Mask(self.ids, voc_palette())


def is_mask_json(path: Path) -> bool:
    """Whether a file looks like one of these."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(data, dict) and ("shapes" in data or {"images", "annotations"} <= set(data))


def read_mask_json(path: Path, source: Source, names: dict[Any, int] | None = None) -> list[JsonMask]:
    """The masks in a file, in the order of frames.

    An object's id is its `track_id`, `object_id` or, where every image has at most one annotation of a
    category, its category; else annotations are objects in their order. In labelme's, a label (with its
    group) is an object.

    Args:
        names: the ids of labelme's labels so far; new ones are added.

    Raises:
        InputError: it is no JSON, or another kind.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(path, found="not readable as JSON", expected=A_JSON, fix="--mask MASK") from error
    try:
        if isinstance(data, dict) and "shapes" in data:
            return [_labelme(path, data, source, {} if names is None else names)]
        if isinstance(data, dict) and {"images", "annotations"} <= set(data):
            return _coco(path, data, source)
    except BROKEN as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            path, found=f"JSON that is damaged ({reason})", expected=A_JSON, fix="--mask MASK"
        ) from error
    raise InputError(path, found="JSON of another kind", expected=A_JSON, fix="--mask MASK")


def _labelme(path: Path, data: dict[str, Any], source: Source, names: dict[Any, int]) -> JsonMask:
    height = int(data.get("imageHeight") or source.height)
    width = int(data.get("imageWidth") or source.width)
    check_size(width, height, path, "--mask MASK")
    ids = np.zeros((height, width), np.uint8)
    for shape in data["shapes"]:
        key = shape.get("label"), shape.get("group_id")
        number = names.setdefault(key, len(names) + 1)
        _check_count(path, number)
        ids[_drawn(shape.get("shape_type") or "polygon", shape["points"], height, width)] = number
    return JsonMask(path.stem, None, ids)


def _drawn(kind: str, points: list[list[float]], height: int, width: int) -> np.ndarray:
    """(H, W) bool of one of labelme's shapes; lines and points have no area."""
    canvas, corners = np.zeros((height, width), np.uint8), np.array(points, np.float64).reshape(-1, 2)
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
    elif kind in ("polygon", "rectangle"):
        cv2.fillPoly(canvas, [np.rint(corners).astype(np.int32)], (1,))
    return canvas > 0


def _coco(path: Path, data: dict[str, Any], source: Source) -> list[JsonMask]:
    images = {image["id"]: image for image in data["images"]}
    by_image: dict[Any, list[dict[str, Any]]] = {key: [] for key in images}
    for annotation in data["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    few = all(int(a.get("category_id") or 0) <= MOST_OBJECTS for a in data["annotations"])
    by_category = few and all(
        len({a.get("category_id") for a in found}) == len(found) for found in by_image.values()
    )
    files = [Path(str(image["file_name"])) for image in images.values()]
    masks = []
    for (key, image), frame in zip(images.items(), _frames(files, source, path), strict=True):
        height, width = int(image["height"]), int(image["width"])
        check_size(width, height, path, "--mask MASK")
        ids = np.zeros((height, width), np.uint8)
        for place, annotation in enumerate(by_image[key], 1):
            number = int(_object_id(annotation, by_category=by_category) or place)
            _check_count(path, number)
            ids[_region(annotation["segmentation"], height, width)] = number
        masks.append(JsonMask(Path(str(image["file_name"])).name, frame, ids))
    return masks


def _object_id(annotation: dict[str, Any], *, by_category: bool) -> int | None:
    attributes = annotation.get("attributes") or {}
    for place in (annotation, attributes):
        for key in ("track_id", "object_id", "instance_id"):
            if place.get(key) is not None:
                return int(place[key])
    return int(annotation["category_id"]) if by_category and annotation.get("category_id") else None


def _frames(files: list[Path], source: Source, path: Path) -> list[int | None]:
    """Of the images of a file; the only one may be of any frame."""
    if len(files) == 1:
        return [source.index_of(files[0].stem)]
    named = [source.index_of(file.name) for file in files]
    return named if None not in named else [*frames_of(files, source, path, lambda text: None)]


def _region(segmentation: Any, height: int, width: int) -> np.ndarray:
    """(H, W) bool of polygons, or of run lengths as lists or as text."""
    if isinstance(segmentation, list):
        return _polygons(segmentation, height, width)
    counts = segmentation["counts"]
    runs = counts if isinstance(counts, list) else _runs_of(counts)
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        raise ValueError("runs that do not fill the image")
    values = np.repeat(np.arange(len(runs)) % 2 > 0, runs)
    return values.reshape(width, height).T


def _polygons(polygons: list[list[float]], height: int, width: int) -> np.ndarray:
    """As pycocotools draws them, which must not see what is no number."""
    from pycocotools import mask as coco

    kept = []
    for polygon in polygons:
        corners = np.array(polygon, np.float64).reshape(-1, 2)
        if not np.isfinite(corners).all():
            raise ValueError("a polygon of what is no number")
        if len(corners) > 2:
            kept.append(corners.clip((-width, -height), (2 * width, 2 * height)).ravel().tolist())
    if not kept:
        return np.zeros((height, width), bool)
    runs = coco.merge(coco.frPyObjects(kept, height, width))
    return np.asarray(coco.decode(runs)).astype(bool)


def _runs_of(text: str) -> list[int]:
    """COCO's compressed counts: five bits a character, the lowest first; from the third run on differences to
    the run before the last."""
    runs: list[int] = []
    value = shift = 0
    for character in text.encode():
        bits = character - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs


def _check_count(path: Path, number: int) -> None:
    if not 1 <= number <= MOST_OBJECTS:
        raise InputError(
            path, found=f"object {number}", expected=f"ids from 1 to {MOST_OBJECTS}", fix="--mask MASK"
        )
