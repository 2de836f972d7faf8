"""What an output is, by its name, and whether it can be written at all."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import NamedTuple

from spvos_cli.errors import InputError
from spvos_cli.video.writers.folders import (
    PATTERN,
    CutoutFolder,
    LabelFolder,
    MotsFolder,
    NumberedFolder,
    ObjectFolder,
    PngFolder,
    SoftFolder,
)
from spvos_cli.video.writers.policies import ENDING, PolicyVideo
from spvos_cli.video.writers.records import CocoFile, RecordPipe, Records
from spvos_cli.video.writers.sheet import ContactSheet
from spvos_cli.video.writers.stdout import STDOUT
from spvos_cli.video.writers.videos import (
    LabelPipe,
    LabelVideo,
    OverlayVideo,
    ProResCutout,
    Vp9Cutout,
)
from spvos_cli.video.writers.writer import PartWriter, Writer, working_path

PIPES: dict[str, type[Writer]] = {"mkv": LabelPipe, "jsonl": RecordPipe}
FOLDERS: dict[str, type[PngFolder]] = {
    "": LabelFolder,
    ".objects": ObjectFolder,
    ".rgba": CutoutFolder,
    ".mots": MotsFolder,
    ".soft": SoftFolder,
}
FILES: dict[str, type[Writer]] = {
    ".mp4": OverlayVideo,
    ".mkv": LabelVideo,
    ".mov": ProResCutout,
    ".webm": Vp9Cutout,
    ".json": CocoFile,
    ".jsonl": Records,
    ".png": ContactSheet,
}
OUTPUTS = (
    f"a folder, -, a file that ends in {', '.join(FILES)}, or a folder in {', '.join(list(FOLDERS)[1:])}"
)

HASHES = re.compile(r"##+")  # how compositors write %04d
LONGEST_NAME = 230  # bytes; most systems allow 255, and working files beside an output have longer names


class Output(NamedTuple):
    """Where a run's results go, and in which form.

    Attributes:
        path: a folder, a file, `STDOUT`, or FOLDER/PATTERN of a `NumberedFolder`.
        writer: the class that writes it.
    """

    path: Path
    writer: type[Writer]

    @property
    def folder(self) -> Path | None:
        """The folder whose files it writes; None for a file."""
        if not issubclass(self.writer, PngFolder):
            return None
        return self.path.absolute().parent if self.writer is NumberedFolder else self.path

    @property
    def by_object(self) -> bool:
        """Whether it is a folder with a folder for each object."""
        return issubclass(self.writer, PngFolder) and self.writer.by_object


def parse_output(text: str | Path, pipe: str = "mkv") -> Output:
    """What the name of an output says: an existing folder, a name that ends in a slash, or one without suffix
    is a folder; FOLDER/mask_%04d.png or mask_####.png are label maps with such names; else the suffix tells.

    Args:
        pipe: what goes to standard output: "mkv", the label video, or "jsonl", the records.

    Raises:
        InputError: it tells nothing.
    """
    path = Path(text)
    if path == STDOUT:
        return Output(path, PIPES[pipe])
    if path.name in ("", ".."):
        path = path.resolve()
    if not path.exists():
        named = HASHES.sub(lambda hashes: f"%0{len(hashes[0])}d", path.name)
        if PATTERN.search(named):
            return _numbered(path.with_name(named))
    suffix = path.suffix.lower()
    if path.is_dir() or str(text).endswith(("/", os.sep)):
        return Output(path, FOLDERS.get(suffix, LabelFolder))
    if path.name.lower().endswith(ENDING):
        return Output(path, PolicyVideo)
    if writer := (FILES | FOLDERS).get(suffix):
        return Output(path, writer)
    found, fix = f"unknown suffix {path.suffix}", f"-o {path}/ is a folder"
    raise InputError(path, found=found, expected=OUTPUTS, fix=fix)


def check_output(output: Output, *, overwrite: bool) -> None:
    """Before anything is computed: can this be written?

    Raises:
        InputError: it exists and may not be overwritten, or its folder cannot be written to.
    """
    path = output.path
    if path == STDOUT:
        return
    if output.folder and output.folder.exists() and not output.folder.is_dir():
        raise InputError(path, found="a file", expected="a folder, or none yet", fix="-o OUT")
    if not output.folder and path.is_dir():
        raise InputError(path, found="a folder", expected="a file, or none yet", fix="-o OUT")
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        found, expected = "a name too long for files beside it", f"at most {LONGEST_NAME} bytes"
        raise InputError(path, found=found, expected=expected, fix="-o OUT")
    if issubclass(output.writer, PartWriter) and working_path(path).is_file():
        found = f"{path.name}.part is a file"
        raise InputError(path, found=found, expected="room for working files", fix="-o OUT")
    if not overwrite and output.writer.exists_at(path):
        fix = "--overwrite, --resume after an interruption, or -o OUT"
        found = "it exists already" if path.exists() or output.folder else f"{path.name}.part exists already"
        raise InputError(path, found=found, expected="an output that does not", fix=fix)
    if not output.folder and not path.absolute().parent.is_dir():
        found = f"no folder {path.parent}"
        raise InputError(path, found=found, expected="a file in a folder that exists", fix="-o OUT")
    folder = next(folder for folder in [path, *path.absolute().parents] if folder.is_dir())
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        found = f"nothing can be written in {folder} ({error.strerror})"
        raise InputError(
            path, found=found, expected="a folder that you may write to", fix="-o OUT"
        ) from error


def _numbered(path: Path) -> Output:
    """FOLDER/mask_%04d.png"""
    if path.suffix.lower() != ".png" or len(PATTERN.findall(path.name)) > 1:
        fix = f"-o {path.parent}/%05d.png, or -o {path.parent}/"
        raise InputError(path, found="a pattern of names", expected="one number, and .png", fix=fix)
    return Output(path, NumberedFolder)
