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
EMPTY = 3  # the frame in which the object is away
AREAS = [0 if t == EMPTY else int(mask.sum()) for t, mask in enumerate(MASKS)]
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
    masks = iter(mask * (t != EMPTY) for t, mask in enumerate(MASKS))
    labels = tmp_path / "annotations/instances_default.json"
    write(images, labels, label=lambda image: next(masks))
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
    for name, area in zip(NAMES, AREAS, strict=True):
        item = items[Path(name).stem]
        masks = [a.image for a in item.annotations if a.type.name == "mask"]
        assert [int(mask.sum()) for mask in masks] == [area] * (area > 0)
        assert tuple(item.media.size) == (HEIGHT, WIDTH)


def test_supervision(made: Made) -> None:
    supervision = pytest.importorskip("supervision")
    load = supervision.DetectionDataset.from_coco
    dataset = load(str(made.images), str(made.labels), force_masks=True)
    assert dataset.classes == ["object 1"]
    found = {Path(path).name: 0 if not len(d) else int(d.mask.sum()) for path, _, d in dataset}
    assert found == dict(zip(NAMES, AREAS, strict=True))


def test_fiftyone(made: Made) -> None:
    coco = pytest.importorskip("fiftyone.utils.coco")
    importer = coco.COCODetectionDatasetImporter(
        data_path=str(made.images), labels_path=str(made.labels), label_types="segmentations"
    )
    found = {}
    with importer:
        for path, _, labels in importer:
            found[Path(path).name] = sum(int(d.mask.sum()) for d in labels.detections) if labels else 0
    assert found == dict(zip(NAMES, AREAS, strict=True))


def test_pycocotools(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.coco import COCO

    coco = COCO(str(made.labels))
    capsys.readouterr()
    masks = {a["image_id"]: coco.annToMask(a) for a in coco.loadAnns(coco.getAnnIds())}
    assert all(np.array_equal(masks[t + 1], MASKS[t]) for t in range(len(FRAMES)) if t != EMPTY)
