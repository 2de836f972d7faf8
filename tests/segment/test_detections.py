"""Label maps as detections of `supervision`, where that is installed.

pip install supervision && pytest tests/segment/test_detections.py
"""

from __future__ import annotations

import sys

import numpy as np
import pytest

from spvos_cli import InputError, to_detections
from tests.conftest import make_frame


def test_detections() -> None:
    supervision = pytest.importorskip("supervision")
    image, labels = make_frame(0)
    labels[labels == 2] = 7
    found = to_detections(labels, {1: 0.75}, {7: "disk"})
    assert isinstance(found, supervision.Detections)
    assert found.tracker_id.tolist() == found.class_id.tolist() == [1, 7]
    assert found.xyxy.tolist() == [[10, 20, 39, 49], [78, 48, 112, 82]]
    assert found.confidence.tolist() == [0.75, 0]
    assert found["class_name"].tolist() == ["object 1", "disk"]
    assert np.array_equal(found.mask, [labels == 1, labels == 7])
    assert to_detections(labels).confidence is None
    drawn = supervision.MaskAnnotator().annotate(image.copy(), found)
    drawn = supervision.LabelAnnotator(color_lookup=supervision.ColorLookup.TRACK).annotate(drawn, found)
    assert (drawn != image)[labels > 0].any(axis=-1).mean() > 0.9
    zone = supervision.PolygonZone(np.array([[0, 0], [60, 0], [60, 95], [0, 95]]))
    assert zone.trigger(found).tolist() == [True, False]


def test_nothing_found() -> None:
    pytest.importorskip("supervision")
    found = to_detections(np.zeros((20, 30), np.uint8), {})
    assert (len(found), found.mask.shape, found.xyxy.shape) == (0, (0, 20, 30), (0, 4))


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(InputError, match=r"supervision: it is not installed.*pip install supervision"):
        to_detections(np.zeros((20, 30), np.uint8))


def test_what_is_no_label_map() -> None:
    pytest.importorskip("supervision")
    with pytest.raises(ValueError, match=r"labels of shape \(2, 3, 4\)"):
        to_detections(np.zeros((2, 3, 4), np.uint8))
