"""Finding label maps below a folder: four layouts, recognised by what is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from spvos_cli.errors import InputError
from spvos_cli.evaluation.label_maps import LabelImages, LabelMaps, LabelMapVideo, ObjectImages
from spvos_cli.evaluation.protocol import objects_in
from spvos_cli.files import images_in, natural_order
from spvos_cli.video.masks import MaskReader
from spvos_cli.video.numbers import split_frames

VIDEO_SUFFIXES = {".mkv", ".avi", ".mov", ".mp4", ".nut", ".webm"}
# Masks lie below these, where they exist, as data sets and annotation tools have them; the first of each row.
MASK_FOLDERS = (
    ("Annotations", "masks", "SegmentationObject", "SegmentationClass"),
    ("480p", "Full-Resolution"),
)
LAYOUTS = (
    "a folder of masks, a folder of such folders (DAVIS), a folder of masks for each object, or label videos"
)


class MaskSet(NamedTuple):
    """Attributes: layout, in words; maps by sequence."""

    layout: str
    maps: dict[str, LabelMaps]


def find_label_maps(root: Path, option: str) -> MaskSet:
    """All sequences of masks at a path.

    Args:
        root: a label video; a folder of masks; a folder that holds, for each sequence, a label video, a
            folder of masks, or a folder with a folder of masks for each object; or a dataset with any of
            these in Annotations/ or Annotations/480p/.
        option: what to name in complaints.

    Raises:
        InputError: there is nothing of that kind.
    """
    if root.is_file() and root.suffix.lower() in VIDEO_SUFFIXES:
        return MaskSet("a label video", {root.stem: LabelMapVideo(root)})
    if not root.is_dir():
        found = "not a video or a folder" if root.exists() else "no such file or folder"
        raise InputError(root, found=found, expected=LAYOUTS, fix=f"{option} DIR")
    folder = root
    for names in MASK_FOLDERS:
        folder = next((folder / name for name in names if (folder / name).is_dir()), folder)
    if there := find_in(folder):
        return there
    deeper = next((sub for sub in sorted(folder.rglob("*")) if sub.is_dir() and find_in(sub)), None)
    found, fix = ("no masks in it", "DIR") if deeper is None else ("masks deeper in it alone", deeper)
    raise InputError(root, found=found, expected=LAYOUTS, fix=f"{option} {fix}")


def find_in(folder: Path) -> MaskSet | None:
    """The masks of a folder by the first layout that fits; None where none does."""
    for layout, find in FINDERS.items():
        if maps := find(folder):
            return MaskSet(layout, maps)
    return None


def label_images(folder: Path, name: str | None = None) -> LabelImages | None:
    """The masks of one folder, without the frames that lie between them; None where it holds none."""
    images, masks = split_frames(sorted(images_in(folder), key=natural_order))
    files = masks or images
    return LabelImages(name or folder.name, {file.stem: file for file in files}) if files else None


def _one_folder(folder: Path) -> dict[str, LabelMaps]:
    maps = label_images(folder)
    return {maps.name: maps} if maps else {}


def _videos(folder: Path) -> dict[str, LabelMaps]:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in VIDEO_SUFFIXES)
    return {file.stem: LabelMapVideo(file) for file in files}


def _objects(folder: Path) -> dict[str, LabelMaps]:
    """One video: folders with numbers for names, in each one value besides black."""
    maps = _object_images(folder)
    return {maps.name: maps} if maps else {}


def _object_images(folder: Path) -> ObjectImages | None:
    folders = _folders(folder)
    numbered = [sub for sub in folders if sub.name.isdecimal() and int(sub.name) < 255 and images_in(sub)]
    if not folders or numbered != folders:
        return None
    if any(len(objects_in(MaskReader().read(images_in(sub)[0]).ids)) > 1 for sub in folders):
        return None
    files = {int(sub.name): {file.stem: file for file in images_in(sub)} for sub in folders}
    return ObjectImages(folder.name, files)


def _sequences(folder: Path) -> dict[str, LabelMaps]:
    found = {sub.name: _object_images(sub) or label_images(sub) for sub in _folders(folder)}
    return {name: maps for name, maps in found.items() if maps}


def _folders(folder: Path) -> list[Path]:
    return sorted(sub for sub in folder.iterdir() if sub.is_dir() and not sub.name.startswith("."))


FINDERS: dict[str, Callable[[Path], dict[str, LabelMaps]]] = {
    "one folder of masks": _one_folder,
    "label videos": _videos,
    "a folder of masks for each object": _objects,
    "a folder of masks for each sequence": _sequences,
}
