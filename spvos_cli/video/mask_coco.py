"""Masks in COCO's JSON and its relatives: polygons and run lengths of many images' objects."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spvos_cli.errors import InputError
from spvos_cli.video.frames import Note, Source, check_size
from spvos_cli.video.masks import Mask
from spvos_cli.video.numbers import frames_of
from spvos_cli.video.palettes import voc_palette
from spvos_cli.video.small_ids import MOST_OBJECTS

CONTRIBUTOR = "spvos"  # in what spvos writes itself
IDENTITIES = ("track_id", "object_id", "instance_id")  # what says that objects of two images are the same


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


def as_coco(data: Any) -> dict[str, Any] | None:
    """The same with `images` and `annotations`: of COCO's own files, of its results (a list of annotations of
    one image), of one video of YouTube-VIS, of Segment Anything's; None for another kind."""
    if isinstance(data, list) and data and all(isinstance(a, dict) and "segmentation" in a for a in data):
        images = {a.get("image_id"): {"id": a.get("image_id")} for a in data}
        return {"images": [*images.values()], "annotations": [{"image_id": None} | a for a in data]}
    if not isinstance(data, dict) or "annotations" not in data:
        return None
    if isinstance(data.get("image"), dict):
        image, annotations = data["image"] | {"id": None}, data["annotations"]
        return {"images": [image], "annotations": [a | {"image_id": None} for a in annotations]}
    if len(data.get("videos") or ()) == 1:
        return _of_video(data["videos"][0], data["annotations"])
    return data if "images" in data else None


def read_coco(path: Path, data: dict[str, Any], source: Source, note: Note) -> list[JsonMask]:
    """The masks of each image, in the order of frames. An image without annotations is one that nobody has
    annotated; in a file that spvos wrote it is one without an object.

    Raises:
        InputError: there are more than 255 objects, or boxes alone.
    """
    images = {image["id"]: image for image in data["images"]}
    by_image: dict[Any, list[dict[str, Any]]] = {key: [] for key in images}
    for annotation in data["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    blank = [key for key, found in by_image.items() if not found]
    if 0 < len(blank) < len(images) and (data.get("info") or {}).get("contributor") != CONTRIBUTOR:
        note(f"{path}: {len(blank)} images without annotations are taken for not annotated")
        images = {key: image for key, image in images.items() if key not in blank}
        by_image = {key: by_image[key] for key in images}
    keys = _object_keys(by_image, note, path)
    numbers = _numbers(path, [key for found in keys.values() for key in found])
    files = [Path(str(image.get("file_name") or "")) for image in images.values()]
    masks = []
    for (key, image), file, frame in zip(images.items(), files, _frames(files, source, path), strict=True):
        height, width = _size_of(image, by_image[key], source)
        check_size(width, height, path, "--mask MASK")
        ids = np.zeros((height, width), np.uint8)
        for name, annotation in zip(keys[key], by_image[key], strict=True):
            if not annotation.get("segmentation", "") and annotation.get("bbox"):
                found, expected = "an annotation that is a box alone", "polygons or run lengths"
                raise InputError(path, found=found, expected=expected, fix="--box X,Y,W,H")
            ids[_region(annotation["segmentation"], height, width)] = numbers[name]
        masks.append(JsonMask(file.name, frame, ids))
    return masks


def _of_video(video: dict[str, Any], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    """YouTube-VIS has a list of regions in each annotation, with None where the object is away."""
    size = {"height": video["height"], "width": video["width"]}
    images = [{"id": t, "file_name": name} | size for t, name in enumerate(video["file_names"])]
    found = [
        {"image_id": t, "track_id": annotation["id"], "segmentation": region}
        for annotation in annotations
        for t, region in enumerate(annotation["segmentations"])
        if region
    ]
    return {"images": images, "annotations": found}


def _object_keys(
    by_image: dict[Any, list[dict[str, Any]]], note: Note, path: Path
) -> dict[Any, list[Hashable]]:
    """What tells the objects of each image apart: what names them; else the category, where no image has two
    of one; else their place in the image."""
    every = [a for found in by_image.values() for a in found]
    identities = [_identity(a) for a in every]
    if None not in identities:
        return {key: [_identity(a) for a in found] for key, found in by_image.items()}
    categories = {key: [a.get("category_id") for a in found] for key, found in by_image.items()}
    if all(None not in c and len(set(c)) == len(c) for c in categories.values()):
        return {key: [*found] for key, found in categories.items()}
    if sum(map(bool, by_image.values())) > 1:
        note(f"{path}: nothing in it says which objects of two images are the same: they are in one order")
    return {key: [*range(1, len(found) + 1)] for key, found in by_image.items()}


def _identity(annotation: dict[str, Any]) -> Hashable:
    for place in (annotation, annotation.get("attributes") or {}):
        for key in IDENTITIES:
            if place.get(key) is not None:
                return str(place[key])
    return None


def _numbers(path: Path, keys: list[Hashable]) -> dict[Hashable, int]:
    """An id for each: the key itself where all are from 1 to 255, else their order."""
    names = list(dict.fromkeys(keys))
    if len(names) > MOST_OBJECTS:
        expected = f"at most {MOST_OBJECTS}"
        raise InputError(path, found=f"{len(names)} objects", expected=expected, fix="--mask MASK")
    if all(str(name).isdecimal() and 1 <= int(str(name)) <= MOST_OBJECTS for name in names):
        return {name: int(str(name)) for name in names}
    return {name: number for number, name in enumerate(names, 1)}


def _size_of(image: dict[str, Any], annotations: list[dict[str, Any]], source: Source) -> tuple[int, int]:
    """Height and width: the image's, else its regions', else the frames'."""
    if image.get("height") and image.get("width"):
        return int(image["height"]), int(image["width"])
    regions = [a.get("segmentation") for a in annotations]
    sizes = [region["size"] for region in regions if isinstance(region, dict) and region.get("size")]
    height, width = sizes[0] if sizes else (source.height, source.width)
    return int(height), int(width)


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
