"""Finding annotated videos and stills on disk: the DAVIS layout, folders of images with masks of the same
name, and annotated frames of one's own."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from spvos_cli.errors import InputError
from spvos_cli.files import images_in, natural_order
from spvos_cli.video.masks import MaskReader

LAYOUT = "images/ and masks/ of one video, or JPEGImages/SEQUENCE/ and Annotations/SEQUENCE/"
PAIRS = (("images", "masks"), ("frames", "masks"), ("JPEGImages", "Annotations"))


class VideoSequence(NamedTuple):
    """A video with a mask for every frame; a still is one with a single frame.

    Attributes:
        name: the sequence's name in its dataset.
        frames, masks: files, as many of the one as of the other, in the order of time.
        step: frames of the video from one of these to the next, for videos of which not all are annotated.
    """

    name: str
    frames: tuple[Path, ...]
    masks: tuple[Path, ...]
    step: int = 1

    def read_frame(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8, RGB."""
        return read_frame(self.frames[index])

    def read_mask(self, index: int) -> np.ndarray:
        """(H, W) uint8 of object ids, 0 the background."""
        return _mask_reader(self.masks).read(self.masks[index]).ids


@lru_cache(maxsize=256)
def _mask_reader(masks: tuple[Path, ...]) -> MaskReader:
    """One for all masks of a sequence: colours mean the same objects in all of them."""
    return MaskReader(files=masks)


class WeightedDataset(NamedTuple):
    """Attributes: weight of the dataset among those of a run, and its sequences."""

    weight: float
    sequences: list[VideoSequence]


def read_frame(path: Path) -> np.ndarray:
    """(H, W, 3) uint8, RGB.

    Raises:
        InputError: it is no image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise InputError(path, found="not readable as an image", expected="a frame", fix="--data ROOT")
    return image


def davis_sequences(root: Path, year: int, split: str, resolution: str = "480p") -> list[VideoSequence]:
    """The sequences that ROOT/ImageSets/YEAR/SPLIT.txt lists, with their annotated frames.

    Raises:
        InputError: a folder is missing, or a sequence has frames without masks.
    """
    listing = root / "ImageSets" / str(year) / f"{split}.txt"
    if not listing.is_file():
        found = "no such folder" if not root.is_dir() else f"it lacks {listing.relative_to(root)}"
        expected = "the DAVIS layout (JPEGImages, Annotations, ImageSets)"
        raise InputError(
            root, found=found, expected=expected, fix="--data ROOT; DAVIS is at davischallenge.org"
        )
    return [_davis_sequence(root, name, resolution) for name in listing.read_text().split()]


def _davis_sequence(root: Path, name: str, resolution: str) -> VideoSequence:
    frames = images_in(root / "JPEGImages" / resolution / name)
    masks = {mask.stem: mask for mask in images_in(root / "Annotations" / resolution / name)}
    missing = [frame.name for frame in frames if frame.stem not in masks]
    if not frames or missing:
        found = f"{len(frames)} frames, {len(missing)} of them without a mask" if frames else "no frames"
        raise InputError(
            root,
            found=f"{name} has {found}",
            expected="a mask for every frame",
            fix="copy the dataset again; --data ROOT",
        )
    return VideoSequence(name, tuple(frames), tuple(masks[frame.stem] for frame in frames))


def still_sequences(root: Path) -> list[VideoSequence]:
    """Every image below ROOT that lies in a folder `images` and has a mask of the same name in `masks` beside
    it.

    Raises:
        InputError: there are none, or images without masks.
    """
    folders = sorted(folder for folder in root.rglob("images") if folder.with_name("masks").is_dir())
    if not folders:
        expected = "folders images/ and masks/ side by side"
        raise InputError(
            root,
            found="no images with masks" if root.is_dir() else "no such folder",
            expected=expected,
            fix="--data ROOT",
        )
    stills = []
    for folder in folders:
        masks = {mask.stem: mask for mask in images_in(folder.with_name("masks"))}
        images = images_in(folder)
        if missing := [image.name for image in images if image.stem not in masks]:
            found = f"{len(missing)} of {len(images)} images without a mask, {missing[0]} among them"
            raise InputError(
                folder, found=found, expected="a mask of the same name for every image", fix="--data ROOT"
            )
        stills += [VideoSequence(image.stem, (image,), (masks[image.stem],)) for image in images]
    return stills


def own_sequences(root: Path) -> list[VideoSequence]:
    """The frames of a folder that have a mask; sequences are subfolders, or the folder itself is one.

    Raises:
        InputError: there is no such layout, a mask has no frame, or nothing is annotated.
    """
    for images, masks in PAIRS:
        if (root / images).is_dir() and (root / masks).is_dir():
            folders = _sequence_folders(root / masks)
            found = [
                _sequence(root / images / f, root / masks / f, root.name if str(f) == "." else str(f))
                for f in folders
            ]
            return [sequence for sequence in found if sequence.frames]
    raise InputError(
        root,
        found="no frames with masks" if root.is_dir() else "no such folder",
        expected=LAYOUT,
        fix="--data FOLDER",
    )


def _sequence_folders(masks: Path) -> list[Path]:
    """Folders below `masks` that hold images, relative to it."""
    folders = [
        folder for folder in [masks, *sorted(masks.rglob("*"))] if folder.is_dir() and images_in(folder)
    ]
    if not folders:
        raise InputError(masks, found="no mask in it", expected=LAYOUT, fix="--data FOLDER")
    return [folder.relative_to(masks) for folder in folders]


def _sequence(images: Path, masks: Path, name: str) -> VideoSequence:
    frames = {frame.stem: frame for frame in images_in(images)}
    annotated = sorted(images_in(masks), key=natural_order)
    if missing := [mask.name for mask in annotated if mask.stem not in frames]:
        found = f"{len(missing)} masks without a frame, {missing[0]} among them"
        raise InputError(
            masks, found=found, expected=f"a frame of the same name in {images}", fix="--data FOLDER"
        )
    return VideoSequence(name, tuple(frames[mask.stem] for mask in annotated), tuple(annotated))
