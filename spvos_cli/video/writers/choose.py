"""Which writer an output gets, and whether it can be written at all."""

from __future__ import annotations

import tempfile
from pathlib import Path

from spvos_cli.errors import InputError
from spvos_cli.video.writers.folders import CutoutFolder, LabelFolder, ObjectFolder, SoftFolder
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
from spvos_cli.video.writers.writer import Writer

PIPES = {"mkv": LabelPipe, "jsonl": RecordPipe}
FOLDERS = {"": LabelFolder, ".objects": ObjectFolder, ".rgba": CutoutFolder, ".soft": SoftFolder}
FILES = {
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


def writer_for(path: Path, pipe: str = "mkv") -> type[Writer]:
    """The writer of an output, chosen by its suffix.

    Args:
        pipe: what goes to standard output: "mkv", the label video, or "jsonl", the records.

    Raises:
        InputError: there is none for the suffix.
    """
    if path == STDOUT:
        return PIPES[pipe]
    suffix = path.suffix.lower()
    known = FOLDERS if path.is_dir() else FILES | FOLDERS
    if suffix in known:
        return known[suffix]
    if path.is_dir():
        return LabelFolder
    raise InputError(path, found=f"unknown suffix {path.suffix}", expected=OUTPUTS, fix="-o OUT")


def check_output(path: Path, *, overwrite: bool) -> None:
    """Before anything is computed: can this be written?

    Raises:
        InputError: it exists and may not be overwritten, or its folder cannot be written to.
    """
    writer = writer_for(path)
    if path == STDOUT:
        return
    exists = any(path.iterdir()) if path.is_dir() else path.exists()
    if exists and not overwrite:
        fix = "--overwrite, --resume after an interruption, or -o OUT"
        raise InputError(path, found="it exists already", expected="an output that does not", fix=fix)
    if writer in FILES.values() and not path.absolute().parent.is_dir():
        raise InputError(
            path, found=f"no folder {path.parent}", expected="a file in a folder that exists", fix="-o OUT"
        )
    folder = next(folder for folder in [path, *path.absolute().parents] if folder.is_dir())
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        found = f"nothing can be written in {folder} ({error.strerror})"
        raise InputError(
            path, found=found, expected="a folder that you may write to", fix="-o OUT"
        ) from error
