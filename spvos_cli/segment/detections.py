"""Label maps as the `supervision` library takes them, for its annotators, zones and sinks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from spvos_cli.errors import InputError

if TYPE_CHECKING:
    from supervision import Detections


def to_detections(
    labels: np.ndarray,
    confidence: Mapping[int, float] | None = None,
    names: Mapping[int, str] | None = None,
) -> Detections:
    """The objects of a frame, in the order of their ids.

    Args:
        labels: (H, W) ids of the objects, 0 elsewhere: of `VideoSegmenter.step` or `segment_frames`.
        confidence: from 0 to 1 by id, as `VideoSegmenter.confidence` and `FrameFacts.confidence` have it; 0
            for an object that is not in it. None: the detections have none.
        names: of the objects by id; by default "object 1" and so on.

    Returns:
        For each object with a pixel in the frame its box (of its outermost pixels), its mask (H, W), its id
        as `tracker_id` and as `class_id`, its name as `data["class_name"]`.

    Raises:
        InputError: `supervision` is not installed.
        ValueError: the labels are no (H, W) array.
    """
    try:
        import supervision
    except ImportError as error:
        found, expected, fix = "it is not installed", "the library of detections", "pip install supervision"
        raise InputError("supervision", found=found, expected=expected, fix=fix) from error
    if labels.ndim != 2:
        raise ValueError(f"labels of shape {labels.shape}; expected (height, width)")
    ids = np.unique(labels[labels > 0]).astype(int)
    masks = labels == ids[:, None, None]
    named = [(names or {}).get(int(i)) or f"object {i}" for i in ids]
    known = None if confidence is None else np.array([confidence.get(int(i), 0.0) for i in ids], np.float32)
    return supervision.Detections(
        xyxy=supervision.mask_to_xyxy(masks).astype(np.float32),
        mask=masks,
        confidence=known,
        class_id=ids,
        tracker_id=ids,
        data={"class_name": np.array(named, dtype=str)},
    )
