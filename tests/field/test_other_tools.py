"""COCO output in the loaders of other tools: in those that are installed (none of them is asked for), and by
the fields that they read.

    pip install datumaro supervision fiftyone && pytest tests/field/test_other_tools.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.field.making import write
from tests.field.scene import FRAMES, HEIGHT, LENGTH, MASKS, WIDTH, save_frames

NAMES = [f"sh010.{1001 + t}.png" for t in range(LENGTH)]
EMPTY = 3  # the frame in which the objects are away
OBJECTS = {1: "object 1", 7: "red ball"}
LABELS = [np.where(np.mgrid[:HEIGHT, :WIDTH][1] < 9, 7, mask) * (t != EMPTY) for t, mask in enumerate(MASKS)]
AREAS = [{name: int((ids == i).sum()) for i, name in OBJECTS.items() if i in ids} for ids in LABELS]
# what Datumaro (CVAT's importer), FiftyOne, supervision and pycocotools read
FIELDS = {
    "images": {"id": int, "file_name": str, "width": int, "height": int},
    "annotations": {
        "id": int,
        "image_id": int,
        "category_id": int,
        "iscrowd": int,
        "area": int,
        "bbox": list,
        "segmentation": dict,
        "track_id": int,
        "attributes": dict,
    },
    "categories": {"id": int, "name": str, "supercategory": str},
}


class Made(NamedTuple):
    """Attributes: images, a folder; labels, our JSON."""

    images: Path
    labels: Path


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """As Datumaro wants it to lie: images/default beside annotations/instances_default.json."""
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations").mkdir()
    images = save_frames(tmp_path / "images/default", NAMES)
    masks = iter(ids.astype(np.uint8) for ids in LABELS)
    labels = tmp_path / "annotations/instances_default.json"
    write(images, labels, label=lambda image: next(masks), names={7: "red ball"})
    return Made(images, labels)


def test_fields(made: Made) -> None:
    data = json.loads(made.labels.read_text())
    for part, fields in FIELDS.items():
        for entry in data[part]:
            assert {key: type(entry[key]) for key in fields} == fields
        numbers = [entry["id"] for entry in data[part]]
        assert len(set(numbers)) == len(numbers)
        assert min(numbers) == 1  # 0 is the background, or nothing, to some
    assert data["info"]
    assert data["licenses"] == []
    for annotation in data["annotations"]:
        assert annotation["image_id"] in {image["id"] for image in data["images"]}
        assert annotation["category_id"] in {category["id"] for category in data["categories"]}
        assert annotation["segmentation"]["size"] == [HEIGHT, WIDTH]
        assert annotation["area"] > 0
        x, y, width, height = annotation["bbox"]
        assert 0 <= x < x + width <= WIDTH
        assert 0 <= y < y + height <= HEIGHT


def test_datumaro(made: Made) -> None:
    datumaro = pytest.importorskip("datumaro")
    dataset = datumaro.Dataset.import_from(str(made.labels.parents[1]), "coco_instances")
    items = {item.id: item for item in dataset}
    assert sorted(items) == [Path(name).stem for name in NAMES]
    labels = dataset.categories()[datumaro.AnnotationType.label]
    for name, areas in zip(NAMES, AREAS, strict=True):
        item = items[Path(name).stem]
        masks = [a for a in item.annotations if a.type.name == "mask"]
        assert {labels[mask.label].name: int(mask.image.sum()) for mask in masks} == areas
        assert all(OBJECTS[mask.attributes["track_id"]] == labels[mask.label].name for mask in masks)
        assert tuple(item.media.size) == (HEIGHT, WIDTH)


def test_supervision(made: Made) -> None:
    supervision = pytest.importorskip("supervision")
    load = supervision.DetectionDataset.from_coco
    dataset = load(str(made.images), str(made.labels), force_masks=True)
    assert dataset.classes == list(OBJECTS.values())
    found = {}
    for path, _, each in dataset:
        areas = [] if not len(each) else each.mask.sum(axis=(1, 2)).tolist()
        names = [dataset.classes[i] for i in each.class_id]
        found[Path(path).name] = dict(zip(names, areas, strict=True))
    assert found == dict(zip(NAMES, AREAS, strict=True))


def test_fiftyone(made: Made) -> None:
    coco = pytest.importorskip("fiftyone.utils.coco")
    importer = coco.COCODetectionDatasetImporter(
        data_path=str(made.images), labels_path=str(made.labels), label_types="segmentations"
    )
    found = {}
    with importer:
        for path, _, labels in importer:
            detections = labels.detections if labels else []
            found[Path(path).name] = {d.label: int(d.mask.sum()) for d in detections}
            assert [OBJECTS[d["track_id"]] for d in detections] == [d.label for d in detections]
            assert [d.confidence for d in detections if d["track_id"] == 1] == [0.9] * bool(detections)
    assert found == dict(zip(NAMES, AREAS, strict=True))


def test_pycocotools(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.coco import COCO

    coco = COCO(str(made.labels))
    capsys.readouterr()
    found = {t: np.zeros((HEIGHT, WIDTH), int) for t in range(len(FRAMES))}
    for annotation in coco.loadAnns(coco.getAnnIds()):
        found[annotation["image_id"] - 1] += annotation["category_id"] * coco.annToMask(annotation)
    assert all(np.array_equal(found[t], ids) for t, ids in enumerate(LABELS))
