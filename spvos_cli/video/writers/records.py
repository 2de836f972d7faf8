"""Masks and facts as text: JSON lines, and COCO's run-length encoding."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from spvos_cli.files import atomic_path
from spvos_cli.video.mask_coco import CONTRIBUTOR
from spvos_cli.video.writers.stdout import to_stdout
from spvos_cli.video.writers.writer import SegmentedFrame, Setting, Writer, working_path


class LineFile(Writer):
    """A file that grows by one JSON line a frame, each written at once."""

    def __init__(self, path: Path, setting: Setting, saved: dict[str, Any] | None = None) -> None:
        super().__init__(path, setting, saved)
        self.lines = self.lines_path()
        self._file = self.lines.open("wb" if saved is None or not self.lines.exists() else "r+b", buffering=0)
        if saved is not None:
            self._file.truncate(saved["size"])
            self._file.seek(saved["size"])

    def lines_path(self) -> Path:
        return self.path

    def record(self, segmented: SegmentedFrame) -> dict[str, Any]:
        """The frame's line."""
        raise NotImplementedError

    def write(self, segmented: SegmentedFrame) -> None:
        line = json.dumps(self.record(segmented)).encode() + b"\n"
        if self._file.write(line) != len(line):  # a full disk takes a part: try the rest for the reason
            self._file.write(line)

    def checkpoint(self, frame: int) -> dict[str, Any]:
        return {"frame": frame, "size": self._file.tell()}

    def close(self) -> None:
        self._file.close()


class Records(LineFile):
    """One record a frame: where each object is, how sure that is, what it cost, what was noticed."""

    def record(self, segmented: SegmentedFrame) -> dict[str, Any]:
        return frame_record(segmented)


class RecordPipe(Writer):
    """The records on standard output."""

    def write(self, segmented: SegmentedFrame) -> None:
        to_stdout(json.dumps(frame_record(segmented)).encode() + b"\n")


class CocoFile(LineFile):
    """One JSON document as pycocotools reads it: an image a frame, an annotation for each object in it.

    Until the end there is a line a frame in PATH.part.
    """

    def lines_path(self) -> Path:
        return working_path(self.path)

    @classmethod
    def exists_at(cls, path: Path) -> bool:
        lines = working_path(path)
        return path.exists() or (lines.exists() and lines.stat().st_size > 0)

    def record(self, segmented: SegmentedFrame) -> dict[str, Any]:
        frame, (height, width) = segmented.frame, segmented.labels.shape
        name = self.source.file_name(frame)
        image = {"id": frame.index + 1, "file_name": name, "width": width, "height": height}
        image["frame_index"] = frame.index
        return {"image": image, "annotations": list(_annotations(segmented))}

    def close(self) -> None:
        super().close()
        with atomic_path(self.path) as part, part.open("w") as file:
            file.writelines(self._document())

    def clean_up(self) -> None:
        self.lines.unlink(missing_ok=True)

    def _document(self) -> Iterator[str]:
        """In parts, so that a long video's is never in memory at once."""
        ids: set[int] = set()
        info = {"description": f"Masks of {self.source.name}", "version": "1.0", "contributor": CONTRIBUTOR}
        yield f'{{"info": {json.dumps(info)}, "licenses": [], "images": ['
        yield from _separated(json.dumps(record["image"]) for record in self._records())
        yield '], "annotations": ['
        annotations = (a for record in self._records() for a in record["annotations"])
        yield from _separated(_numbered(annotations, ids))
        named = [(i, self.names.get(i) or f"object {i}") for i in sorted(ids)]
        categories = [{"id": i, "name": name, "supercategory": "object"} for i, name in named]
        yield f'], "categories": {json.dumps(categories)}}}\n'

    def _records(self) -> Iterator[dict[str, Any]]:
        with self.lines.open() as file:
            for line in file:
                if line.endswith("\n"):
                    yield json.loads(line)


def frame_record(segmented: SegmentedFrame) -> dict[str, Any]:
    """A frame's facts with JSON's types; areas and boxes (x, y, width, height) in pixels, time in seconds."""
    frame, labels, facts = segmented
    objects = []
    for i in facts.objects:
        confidence = facts.confidence.get(i)
        objects.append(
            {
                "id": i,
                "area": int(facts.areas[i]),
                "box": list(cv2.boundingRect((labels == i).view(np.uint8))) if facts.areas[i] else None,
                "confidence": None if confidence is None else round(confidence, 4),
            }
        )
    record = {"frame": frame.index, "name": frame.name, "time": round(frame.seconds, 6), "objects": objects}
    record |= {"density": facts.density, "policies": facts.policies or {}, "ms": round(facts.ms, 2)}
    return record | {"events": list(facts.events)}


def _annotations(segmented: SegmentedFrame) -> Iterator[dict[str, Any]]:
    from pycocotools import mask as coco

    facts = segmented.facts
    for i in facts.objects:
        area = int(facts.areas[i])
        if not area:
            continue
        mask = (segmented.labels == i).view(np.uint8)
        rle = coco.encode(np.asfortranarray(mask))
        sure = facts.confidence.get(i)
        yield {
            "image_id": segmented.frame.index + 1,
            "category_id": i,
            "track_id": i,
            "attributes": {"track_id": i},  # where CVAT looks for it
            "iscrowd": 0,
            "area": area,
            "bbox": list(cv2.boundingRect(mask)),
            "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
            **({} if sure is None else {"score": round(sure, 4)}),
        }


def _numbered(annotations: Iterator[dict[str, Any]], ids: set[int]) -> Iterator[str]:
    """As JSON, with numbers from 1; collects the objects' ids."""
    for number, annotation in enumerate(annotations, 1):
        ids.add(annotation["category_id"])
        yield json.dumps({"id": number} | annotation)


def _separated(texts: Iterator[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        yield f",\n{text}" if number else text
