"""Folders of PNGs, one a frame, each written aside and renamed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from spvos_cli.video.matte import soft_alpha
from spvos_cli.video.paint import cut_out, paint_overlay
from spvos_cli.video.palettes import indexed_image
from spvos_cli.video.pngs import is_own_png, own_pngs, remove_own_pngs, save_png
from spvos_cli.video.writers.writer import SegmentedFrame, Setting, Writer

MOTS_CLASS = np.uint16(1000)
PATTERN = re.compile(r"%0?\d*d")  # of printf and FFmpeg: a frame's number


class PngFolder(Writer):
    """A folder of PNGs. A run that starts anew removes those of earlier runs and leaves what is not ours.

    Attributes:
        by_object: whether the files are in a folder for each object.
    """

    by_object = False

    def __init__(self, path: Path, setting: Setting, saved: dict[str, Any] | None = None) -> None:
        super().__init__(path, setting, saved)
        path.mkdir(parents=True, exist_ok=True)
        if saved is None:
            self.remove_old()

    @classmethod
    def exists_at(cls, path: Path) -> bool:
        return path.is_dir() and any(path.iterdir())

    @classmethod
    def written_at(cls, path: Path) -> list[Path]:
        return own_pngs(path, by_object=cls.by_object)

    def remove_old(self) -> None:
        """What earlier runs wrote here."""
        if others := remove_own_pngs(self.path, by_object=self.by_object):
            self.note(f"{self.path}: {others} files there that spvos did not write stay among the new ones")

    def save(self, image: Image.Image, name: str, folder: str = "") -> None:
        """FOLDER/NAME.png, whole or not there."""
        target = self.path / folder / f"{name}.png"
        target.parent.mkdir(exist_ok=True)
        save_png(image, target)


class LabelFolder(PngFolder):
    """Indexed PNGs named as the frames are."""

    def write(self, segmented: SegmentedFrame) -> None:
        self.save(indexed_image(segmented.labels, self.look.palette), segmented.frame.name)


class NumberedFolder(PngFolder):
    """Indexed PNGs named by the frames' numbers, as a pattern of printf says.

    Args:
        path: such as masks/%04d.png.
    """

    def __init__(self, path: Path, setting: Setting, saved: dict[str, Any] | None = None) -> None:
        self.pattern = path.name
        super().__init__(path.parent, setting, saved)

    @classmethod
    def exists_at(cls, path: Path) -> bool:
        return bool(_numbered_files(path.parent, path.name))

    @classmethod
    def written_at(cls, path: Path) -> list[Path]:
        return [file for file in _numbered_files(path.parent, path.name) if is_own_png(file)]

    def remove_old(self) -> None:
        for file in self.written_at(self.path / self.pattern):
            file.unlink()

    def write(self, segmented: SegmentedFrame) -> None:
        name = self.pattern % self.source.number_of(segmented.frame)
        self.save(indexed_image(segmented.labels, self.look.palette), name.removesuffix(".png"))


class ObjectFolder(PngFolder):
    """A folder for each object, with its mask in black and white."""

    by_object = True

    def write(self, segmented: SegmentedFrame) -> None:
        for i in segmented.facts.objects:
            white = np.where(segmented.labels == i, np.uint8(255), np.uint8(0))
            self.save(Image.fromarray(white), segmented.frame.name, str(i))


class MotsFolder(PngFolder):
    """16-bit PNGs as MOTS has them: 1000 times a class and the id. Objects have no class here: all are 1."""

    def write(self, segmented: SegmentedFrame) -> None:
        labels = segmented.labels.astype(np.uint16)
        self.save(Image.fromarray(np.where(labels > 0, labels + MOTS_CLASS, 0)), segmented.frame.name)


class CutoutFolder(PngFolder):
    """The objects in colour, with soft edges, all else clear."""

    uses_soft = True

    def write(self, segmented: SegmentedFrame) -> None:
        picture = cut_out(segmented.frame.image, soft_alpha(segmented.labels, segmented.facts.soft))
        self.save(Image.fromarray(picture, "RGBA"), segmented.frame.name)


class SoftFolder(PngFolder):
    """A folder for each object, with its probability in 16 bits: 0 none, 65535 certain."""

    uses_soft, needs_soft, by_object = True, True, True

    def write(self, segmented: SegmentedFrame) -> None:
        size, soft = segmented.labels.shape[1::-1], segmented.facts.soft
        assert soft is not None  # it was asked for
        for i, probability in zip(segmented.facts.objects, soft, strict=True):
            values = cv2.resize(probability, size, interpolation=cv2.INTER_LINEAR) * 65535
            image = Image.fromarray(values.round().clip(0, 65535).astype(np.uint16))
            self.save(image, segmented.frame.name, str(i))


class PreviewFolder(PngFolder):
    """The overlay of every n-th frame."""

    def __init__(
        self, path: Path, setting: Setting, saved: dict[str, Any] | None = None, *, every: int = 1
    ) -> None:
        super().__init__(path, setting, saved)
        self.every = every

    def write(self, segmented: SegmentedFrame) -> None:
        frame = segmented.frame
        if frame.index % self.every == 0:
            self.save(Image.fromarray(paint_overlay(frame.image, segmented.labels, self.look)), frame.name)


def _numbered_files(folder: Path, pattern: str) -> list[Path]:
    """Those whose names a pattern of printf makes from some number."""
    before, after = (re.escape(part) for part in PATTERN.split(pattern))
    names = re.compile(rf"{before}\d+{after}")
    return [file for file in folder.iterdir() if names.fullmatch(file.name)] if folder.is_dir() else []
