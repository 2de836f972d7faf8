"""Outputs that are inputs, or lie in them, are refused: nobody's source is written over."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from spvos_cli.errors import InputError
from spvos_cli.video.writers.choose import Output
from spvos_cli.video.writers.stdout import STDOUT
from spvos_cli.video.writers.writer import working_path

FileId = tuple[int, int]  # device and inode: the same for links, and for names that differ in case alone


class Inputs(NamedTuple):
    """What a run reads.

    Attributes:
        images: frames and masks that are files.
        files: others, such as videos and weights.
        folders: of frames and of masks.
    """

    images: list[Path]
    files: list[Path]
    folders: list[Path]

    def on_disk(self) -> InputIds:
        """Where they are."""
        images = {_file_id(path): path for path in self.images}
        folders = {_file_id(path): path for path in self.folders}
        every = images | folders | {_file_id(path): path for path in self.files}
        every.pop(None, None)
        return InputIds(images, folders, every)


class InputIds(NamedTuple):
    """Inputs by what their names lead to; `every` has those of images and folders, too."""

    images: dict[FileId | None, Path]
    folders: dict[FileId | None, Path]
    every: dict[FileId | None, Path]


def check_apart(outputs: Iterable[Output], inputs: InputIds, *, named: bool = True) -> None:
    """Whatever --overwrite says.

    Args:
        inputs: of this run, or of several.
        named: whether the user named the outputs; else they may lie in a folder of frames, such as the
            working directory.

    Raises:
        InputError: an output is an input, holds frames or masks that are inputs, or lies in a folder of them.
    """
    images, folders, every = inputs
    for output in outputs:
        if output.path == STDOUT:
            continue
        target = output.folder or output.path
        resolved = target.resolve()  # a/../b is b, though there is no a yet
        if same := every.get(_file_id(resolved)):
            raise _refusal(output, f"it is the input {same}")
        working = working_path(target)
        held = [images.get(_file_id(path)) for path in _files_in(resolved, deep=output.by_object)]
        held += [every.get(_file_id(path)) for path in _files_in(working)]
        for same in filter(None, held):
            raise _refusal(output, f"it holds the input {same}")
        above = target.absolute().parents
        for folder in {*above, *resolved.parents} if named else ():
            if same := folders.get(_file_id(folder)):
                raise _refusal(output, f"it lies in the input {same}")


def _files_in(folder: Path, *, deep: bool = False) -> Iterable[Path]:
    """And, deep, in the folders in it."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if not path.is_dir():
            yield path
        elif deep:
            yield from _files_in(path)


def _file_id(path: Path) -> FileId | None:
    """Of what a path leads to; None where there is nothing."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _refusal(output: Output, found: str) -> InputError:
    expected = "an output apart from all inputs, also with --overwrite"
    return InputError(output.path, found=found, expected=expected, fix="-o OUT")
