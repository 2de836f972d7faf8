"""PNG files that say who wrote them, so that a later run can tell its own from other people's."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from spvos_cli.files import atomic_path

SOFTWARE = "spvos"
HEAD_BYTES = 4096  # of a file; the mark stands before the pixels, after a palette of 768 bytes at most
_MARK = b"tEXtSoftware\0" + SOFTWARE.encode()


def save_png(image: Image.Image, path: Path) -> None:
    """Writes a PNG that bears our mark; at every moment the file is whole or not there."""
    info = PngInfo()
    info.add_text("Software", SOFTWARE)
    with atomic_path(path) as part:
        image.save(part, format="png", pnginfo=info)


def is_own_png(path: Path) -> bool:
    """Whether `save_png` wrote a file."""
    with path.open("rb") as file:
        return _MARK in file.read(HEAD_BYTES)


def remove_own_pngs(folder: Path) -> int:
    """Removes the PNGs that earlier runs wrote into a folder and into those in it, which go where they are
    empty then.

    Returns:
        How many other files are there.
    """
    others = 0
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            before = any(path.iterdir())
            others += remove_own_pngs(path)
            if before and not any(path.iterdir()):
                path.rmdir()
        elif path.suffix == ".png" and path.is_file() and is_own_png(path):
            path.unlink()
        elif not path.name.startswith("."):
            others += 1
    return others
