"""YouTube-VOS 2018 and 2019: a folder for each split with JPEGImages, Annotations and meta.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spvos_cli.data.folders import VideoSequence
from spvos_cli.errors import InputError
from spvos_cli.files import images_in

STEP = 5  # every fifth frame of a training video is annotated
LAYOUT = "train/ with meta.json, JPEGImages/ and Annotations/, as YouTube-VOS comes"


def youtube_sequences(root: Path, split: str = "train") -> list[VideoSequence]:
    """The annotated frames of every video that meta.json names.

    Raises:
        InputError: a folder or meta.json is missing, or videos lack frames or masks.
    """
    names = sorted(read_meta(root, split))
    folder = root / split
    sequences = [_annotated(folder, name) for name in names]
    if bare := [s.name for s in sequences if not s.frames]:
        found = f"{len(bare)} of {len(names)} videos without annotated frames, {bare[0]} among them"
        raise InputError(
            folder,
            found=found,
            expected="frames and masks for every video",
            fix="copy the dataset again; --data ROOT",
        )
    return sequences


def read_meta(root: Path, split: str) -> dict[str, Any]:
    """The table of videos in ROOT/SPLIT/meta.json.

    Raises:
        InputError: it is missing or unreadable.
    """
    meta = root / split / "meta.json"
    if not meta.is_file():
        found = f"it lacks {split}/meta.json" if root.is_dir() else "no such folder"
        raise InputError(
            root, found=found, expected=LAYOUT, fix="--data ROOT; YouTube-VOS is at youtube-vos.org"
        )
    try:
        return dict(json.loads(meta.read_text())["videos"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            meta, found=f"unreadable ({error!r})", expected='JSON with a table "videos"', fix="--data ROOT"
        ) from error


def _annotated(folder: Path, name: str) -> VideoSequence:
    frames = {frame.stem: frame for frame in images_in(folder / "JPEGImages" / name)}
    masks = images_in(folder / "Annotations" / name)
    if missing := [mask.name for mask in masks if mask.stem not in frames]:
        found = f"{name} has {len(missing)} masks without a frame, {missing[0]} among them"
        raise InputError(
            folder, found=found, expected="a frame for every mask", fix="copy the dataset again; --data ROOT"
        )
    return VideoSequence(name, tuple(frames[mask.stem] for mask in masks), tuple(masks), STEP)
