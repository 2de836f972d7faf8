"""Names of videos, and what is named after them: their masks and their outputs."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from spvos_cli.errors import InputError
from spvos_cli.files import IMAGE_SUFFIXES
from spvos_cli.video.reader import PRINTF

FIELD = re.compile(r"\{(\w*)\}")
FIELDS = ("name", "parent", "number")


def video_name(text: str) -> str:
    """What an INPUT is called: a file without its suffix, a folder, or the folder that a glob is in."""
    path = Path(text)
    if path.is_dir():
        return path.resolve().name
    return path.absolute().parent.name if is_pattern(text) else path.stem


def is_pattern(text: str) -> bool:
    """Whether an INPUT names files by a glob, or by a pattern of numbers."""
    return not Path(text).exists() and bool(glob.has_magic(text) or PRINTF.search(text))


def fill_in(pattern: str, input: str, number: int) -> str:
    """A name from a pattern: {name} of the video, {parent}, the folder that it is in, and {number}, its place
    among all from 1.

    Raises:
        InputError: there is no such field.
    """
    values = {
        "name": video_name(input),
        "parent": Path(input).absolute().parent.name,
        "number": f"{number:05d}",
    }

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            expected = ", ".join(f"{{{name}}}" for name in FIELDS)
            raise InputError(pattern, found=f"{found[0]}", expected=expected, fix="-o")
        return values[found[1]]

    return FIELD.sub(value, pattern)


class MaskFolder:
    """Masks by the names of videos.

    Args:
        path: of the folder, which has for a video NAME a file NAME.png (or of another kind), or a folder
            NAME of masks.

    Raises:
        InputError: there is no such folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_dir():
            found = "a file" if path.exists() else "no such folder"
            raise InputError(path, found=found, expected="a folder of masks", fix="--mask-dir")
        self._found: dict[str, list[Path]] = {}
        for entry in sorted(path.iterdir()):
            if not entry.name.startswith("."):
                self._found.setdefault(entry.name if entry.is_dir() else entry.stem, []).append(entry)

    def of(self, input: str) -> str:
        """The masks of a video.

        Raises:
            InputError: there are none, or more than one could be meant.
        """
        name = video_name(input)
        found = self._found.get(name, [])
        if len(found) == 1:
            return str(found[0])
        names = ", ".join(entry.name for entry in found)
        what = f"{names}, each of which could be the masks of {name}" if found else f"no masks of {name}"
        expected = f"one of {name}.png and a folder {name}"
        raise InputError(
            self.path, found=what, expected=expected, fix="--mask-dir, or a column mask in --jobs"
        )


def expand(inputs: tuple[str, ...]) -> list[str]:
    """The videos that several INPUTs name: globs of videos and of folders stand for all that they match, a
    glob of images for the one video that these make.

    Raises:
        InputError: pictures are given one by one.
    """
    videos = []
    for text in inputs:
        found = [] if Path(text).exists() else sorted(glob.glob(text))
        alike = [path for path in found if Path(path).is_dir() or not is_picture(path)]
        videos += alike if alike and len(alike) == len(found) else [text]
    pictures = [text for text in videos if is_picture(text)]
    if len(pictures) > 1 or (pictures and len(videos) > 1):
        first = Path(pictures[0])
        what = f"a picture, one of {len(pictures)} among {len(videos)} INPUTs"
        fix = f"'{first.with_name('*' + first.suffix)}', in quotes, is one video of all"
        raise InputError(first, found=what, expected="videos, or folders of pictures", fix=fix)
    return videos


def is_picture(text: str) -> bool:
    """Whether a file is a picture by its name."""
    return Path(text).suffix.lower() in IMAGE_SUFFIXES and Path(text).is_file()
