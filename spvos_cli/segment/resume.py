"""The state of a run on disk, from which a later run goes on."""

from __future__ import annotations

import glob
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from spvos_cli.errors import InputError
from spvos_cli.files import atomic_path, images_in, natural_order, part_of
from spvos_cli.video.moments import split_moment
from spvos_cli.video.writers.stdout import STDOUT

if TYPE_CHECKING:  # PyTorch is imported when a network is wanted
    from spvos_cli.inference.stream import State
    from spvos_cli.video.reader import Input

VERSION = 2
KEY = "spvos"
ENDS = 2**20  # bytes at either end of a video that tell it from another of the same size
FRAME_ENDS = 2**16  # the same of each image in a folder


class ResumeState(NamedTuple):
    """A run before one of its frames.

    Attributes:
        frame: the next frame's number.
        facts: what its parts saved; JSON's types.
        segmenter: the network's state; None where nothing was segmented yet.
    """

    frame: int
    facts: dict[str, Any]
    segmenter: State | None = None


class StateFile:
    """A safetensors file beside the first output; there as long as the run is not complete.

    Args:
        path: of the file.
        shape: what a run that goes on must share with this one; JSON's types.
    """

    def __init__(self, path: Path, shape: dict[str, Any]) -> None:
        self.path, self.shape = path, json.loads(json.dumps(shape))

    def save(self, state: ResumeState) -> None:
        """Replaces what was saved before; at every moment one of them is whole on disk."""
        tensors, stream = state.segmenter or ({}, None)
        text = {"version": VERSION, "shape": self.shape, "frame": state.frame, "stream": stream}
        record = json.dumps(text | {"facts": state.facts})
        content = record.encode()
        if tensors:
            from safetensors.torch import save

            tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
            content = save(tensors, metadata={KEY: record})  # save_file hides what is wrong with a disk
        with atomic_path(self.path) as part:
            part.write_bytes(content)

    def load(self) -> ResumeState:
        """What was saved.

        Raises:
            InputError: it is unreadable, or of a run with other options.
        """
        fix = "--overwrite starts anew"
        try:
            text, tensors = self._read()
            version, stream, shape = text["version"], text["stream"], text["shape"]
            state = ResumeState(text["frame"], text["facts"])
        except Exception as error:
            found = f"not the state of an interrupted run ({type(error).__name__})"
            raise InputError(self.path, found=found, expected="what spvos segment left", fix=fix) from error
        if version != VERSION:
            found = f"the state of another version of spvos (format {version})"
            raise InputError(self.path, found=found, expected=f"format {VERSION}", fix=fix)
        names = sorted({*self.shape, *shape})
        if different := [name for name in names if self.shape.get(name) != shape.get(name)]:
            found = f"the interrupted run had another {', '.join(different)}"
            raise InputError(self.path, found=found, expected="the same options", fix=fix)
        if stream is None:
            return state
        from spvos_cli.inference.stream import State

        return state._replace(segmenter=State(tensors, stream))

    def remove(self) -> None:
        """The run is complete. What was left of a state by a process that was killed goes too."""
        self.path.unlink(missing_ok=True)
        part_of(self.path).unlink(missing_ok=True)

    def _read(self) -> tuple[dict[str, Any], dict[str, Any]]:
        with self.path.open("rb") as file:
            if file.read(1) == b"{":
                return json.loads(self.path.read_text()), {}
        from safetensors import safe_open

        with safe_open(self.path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            return json.loads(file.metadata()[KEY]), tensors


def run_shape(input: Input, masks: list[str], outputs: list[Path], folder: Path) -> dict[str, Any]:
    """What a run is of, by the content of its files, whatever they are called and wherever they are; JSON's
    types.

    Args:
        folder: of the state, which outputs are named from, so that all may move together.
    """
    names = [str(path) if path == STDOUT else os.path.relpath(path, folder) for path in outputs]
    return {"input": input_digest(input), "mask": [mask_digest(mask) for mask in masks], "outputs": names}


def input_digest(input: Input) -> str:
    """Tells an input's content from another's: a video's size, first and last MiB, or the same of the images
    of a folder or glob, or given one by one, with their names and 64 KiB at either end. A stream's is its
    address."""
    if isinstance(input, str):
        path = Path(input)
        if path.is_file():
            return content_digest(path, ENDS)
        found = images_in(path) if path.is_dir() else [] if input == "-" else map(Path, glob.glob(input))
        files = sorted(found, key=natural_order)
    else:
        files = [Path(name) for name in input]
    digest = hashlib.sha256(b"" if files else str(input).encode())
    for file in files:
        digest.update(f"{file.name}\0{content_digest(file, FRAME_ENDS)}\0".encode())
    return digest.hexdigest()


def mask_digest(text: str) -> list[str]:
    """The moment of [FRAME:]MASK, and the content of the file, or of all files of the folder, whole."""
    moment, name = split_moment(text)
    path = Path(name)
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    contents = [(file.relative_to(path), content_digest(file)) for file in files if file.is_file()]
    return [str(moment), *(f"{label.as_posix()} {content}" for label, content in contents)]


def content_digest(path: Path, ends: int | None = None) -> str:
    """Of a file's size and content.

    Args:
        ends: bytes at its start and at its end that are read; None: all.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(f"{size}\0".encode())
    with path.open("rb") as file:
        if ends is None or size <= 2 * ends:
            for block in iter(lambda: file.read(2**20), b""):
                digest.update(block)
        else:
            digest.update(file.read(ends))
            file.seek(-ends, os.SEEK_END)
            digest.update(file.read(ends))
    return digest.hexdigest()
