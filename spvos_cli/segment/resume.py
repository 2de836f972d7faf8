"""The state of a run on disk, from which a later run goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from spvos_cli.errors import InputError
from spvos_cli.files import atomic_path

VERSION = 1
KEY = "spvos"


class Saved(NamedTuple):
    """A run before one of its frames.

    Attributes:
        frame: the next frame's number.
        facts: what shaped the run, and what its parts saved; JSON's types.
        segmenter: the network's state, `State`; None where nothing was segmented yet.
    """

    frame: int
    facts: dict[str, Any]
    segmenter: Any = None


class StateFile:
    """A safetensors file beside the first output; there as long as the run is not complete.

    Args:
        path: of the file.
        shape: what a run that goes on must share with this one; JSON's types.
    """

    def __init__(self, path: Path, shape: dict[str, Any]) -> None:
        self.path, self.shape = path, json.loads(json.dumps(shape))

    def save(self, saved: Saved) -> None:
        """Replaces what was saved before; at every moment one of them is whole on disk."""
        tensors, stream = saved.segmenter or ({}, None)
        text = {"version": VERSION, "shape": self.shape, "frame": saved.frame, "stream": stream}
        record = json.dumps(text | {"facts": saved.facts})
        if tensors:
            from safetensors.torch import save

            tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
            content = save(tensors, metadata={KEY: record})  # save_file hides what is wrong with a disk
        else:
            content = record.encode()
        with atomic_path(self.path) as part:
            part.write_bytes(content)

    def load(self) -> Saved:
        """What was saved.

        Raises:
            InputError: it is unreadable, or of a run with other options.
        """
        try:
            text, tensors = self._read()
            assert text["version"] == VERSION
            saved_shape, stream = text["shape"], text["stream"]
            saved = Saved(text["frame"], text["facts"])
        except Exception as error:
            found = f"not the state of an interrupted run ({type(error).__name__})"
            raise InputError(
                self.path, found=found, expected="what spvos segment left", fix="--overwrite starts anew"
            ) from error
        if different := sorted(k for k in self.shape if self.shape[k] != saved_shape.get(k)):
            found = f"the interrupted run had another {', '.join(different)}"
            raise InputError(
                self.path, found=found, expected="the same options", fix="--overwrite starts anew"
            )
        if stream is None:
            return saved
        from spvos_cli.inference.stream import State

        return saved._replace(segmenter=State(tensors, stream))

    def remove(self) -> None:
        """The run is complete."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> tuple[dict[str, Any], dict[str, Any]]:
        with self.path.open("rb") as file:
            if file.read(1) == b"{":
                return json.loads(self.path.read_text()), {}
        from safetensors import safe_open

        with safe_open(self.path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            return json.loads(file.metadata()[KEY]), tensors
