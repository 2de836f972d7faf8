"""PNG files that say who wrote them, so that a later run can tell its own from other people's."""

from __future__ import annotations

import zlib
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from spvos_cli.files import atomic_path

SOFTWARE = "spvos"
HEAD_BYTES = 4096  # of a file; the mark stands before the pixels, after a palette of 768 bytes at most
RUNS = ("P", "L")  # modes of label maps and of masks
_MARK = b"tEXtSoftware\0" + SOFTWARE.encode()


def save_png(image: Image.Image, path: Path) -> None:
    """Writes a PNG that bears our mark; at every moment the file is whole or not there."""
    info = PngInfo()
    info.add_text("Software", SOFTWARE)
    with atomic_path(path) as part:
        # label maps are runs of one value: to look for nothing else takes half of the time
        strategy = zlib.Z_RLE if image.mode in RUNS else zlib.Z_DEFAULT_STRATEGY
        image.save(part, format="png", pnginfo=info, compress_type=strategy)


def is_own_png(path: Path) -> bool:
    """Whether `save_png` wrote a file."""
    with path.open("rb") as file:
        return _MARK in file.read(HEAD_BYTES)


def own_pngs(folder: Path, *, by_object: bool = False) -> list[Path]:
    """The PNGs that earlier runs wrote into a folder, or, by object, into those in it that a number names."""
    if by_object:
        inner = [path for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []
        return [file for path in inner for file in own_pngs(path)]
    files = folder.glob("*.png") if folder.is_dir() else ()
    return [file for file in files if file.is_file() and is_own_png(file)]


def remove_own_pngs(folder: Path, *, by_object: bool = False) -> int:
    """Removes the PNGs that earlier runs wrote into a folder.

    Args:
        by_object: from the folders in it that are named by a number; those that are empty then go too.

    Returns:
        How many other files are there.
    """
    others = 0
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            if by_object and path.name.isdecimal():
                others += remove_own_pngs(path)
                _remove_empty(path)
        elif _is_own(path):
            path.unlink()
        elif not path.name.startswith("."):
            others += 1
    return others


def _is_own(path: Path) -> bool:
    """Whether `save_png` wrote it, or was killed while it did."""
    if path.name.startswith("."):
        return path.name.endswith(".png.part")
    return path.suffix == ".png" and is_own_png(path)


def _remove_empty(folder: Path) -> None:
    if not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()
