"""Finding image files, and writing files so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".tga"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".j2c", ".jpx", ".avif", ".heic", ".heif"}
    | {".exr", ".dpx", ".cin", ".hdr", ".jxl", ".qoi", ".sgi", ".rgb", ".bw", ".ras", ".pcx", ".mpo"}
    | {".psd", ".dds", ".icb", ".vda", ".vst", ".pam", ".pfm", ".xwd", ".sun", ".jls", ".jpf", ".jpc", ".hif"}
)  # of single pictures
SMALL_SUFFIXES = frozenset({".gif", ".apng"})  # of animations, and of single pictures where nothing else is


def natural_order(path: Path) -> list[tuple[int, int | str]]:
    """A sort key that puts frame10 after frame9."""
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part)) if part.isdecimal() else (1, part.lower()) for part in parts if part]


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder by name; an empty list where there is no folder."""
    found: Iterable[Path] = folder.iterdir() if folder.is_dir() else ()
    files = sorted(file for file in found if not file.name.startswith("."))
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    return images or [file for file in files if file.suffix.lower() in SMALL_SUFFIXES]


def part_of(path: Path, own: str = "") -> Path:
    """Where `atomic_path` writes a file."""
    return path.with_name(f".{path.name}{own}.part")


@contextlib.contextmanager
def atomic_path(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """A place to write a file, which becomes `path` when the block ends: at every moment the old file or the
    new one is there, whole.

    A block that fails leaves the old file, and nothing beside it.

    Args:
        shared: several processes may write the same file at once; the last one holds.
    """
    own = f".{os.getpid()}" if shared else ""
    part = part_of(path, own)
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
