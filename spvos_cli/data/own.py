"""Annotated frames of one's own: any folder in the DAVIS layout, or images/ and masks/ of one video."""

from __future__ import annotations

from pathlib import Path

from spvos_cli.data.folders import Sequence, images_in, natural_order
from spvos_cli.errors import InputError

LAYOUT = "images/ and masks/ of one video, or JPEGImages/SEQUENCE/ and Annotations/SEQUENCE/"
PAIRS = (("images", "masks"), ("frames", "masks"), ("JPEGImages", "Annotations"))


def own_sequences(root: Path) -> list[Sequence]:
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
        root, "no frames with masks" if root.is_dir() else "no such folder", LAYOUT, "--data FOLDER"
    )


def _sequence_folders(masks: Path) -> list[Path]:
    """Folders below `masks` that hold images, relative to it."""
    folders = [
        folder for folder in [masks, *sorted(masks.rglob("*"))] if folder.is_dir() and images_in(folder)
    ]
    if not folders:
        raise InputError(masks, "no mask in it", LAYOUT, "--data FOLDER")
    return [folder.relative_to(masks) for folder in folders]


def _sequence(images: Path, masks: Path, name: str) -> Sequence:
    frames = {frame.stem: frame for frame in images_in(images)}
    annotated = sorted(images_in(masks), key=natural_order)
    if missing := [mask.name for mask in annotated if mask.stem not in frames]:
        found = f"{len(missing)} masks without a frame, {missing[0]} among them"
        raise InputError(masks, found, f"a frame of the same name in {images}", "--data FOLDER")
    return Sequence(name, tuple(frames[mask.stem] for mask in annotated), tuple(annotated))
