"""Undo and redo, frame by frame; on disk, so that they outlive the page and the server."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spvos_cli.files import atomic_path
from spvos_cli.video.suggest import Prompts

MOST = 50  # steps of a frame


class FrameVersion(NamedTuple):
    """How a frame was annotated at some time.

    Attributes:
        ids: (H, W) uint8; None: it was not annotated.
        prompts: by object, what was said since its mask was last painted.
    """

    ids: np.ndarray | None = None
    prompts: Mapping[int, Prompts] = {}


NOTHING = FrameVersion()


class History:
    """The steps of all frames of a video.

    Args:
        folder: a file for each frame that was ever changed.
        shape: (H, W) of a frame.
    """

    def __init__(self, folder: Path, shape: tuple[int, int]) -> None:
        self.folder, self.shape = folder, shape

    def current(self, frame: int) -> FrameVersion | None:
        """The step that a frame is at; None for one that was never changed."""
        steps, at = self._load(frame)
        return self._step(steps[at]) if steps else None

    def add(self, frame: int, step: FrameVersion, before: FrameVersion) -> None:
        """Remembers a change; what was undone is gone.

        Args:
            before: how the frame was, where nothing is remembered of it.
        """
        steps, at = self._load(frame)
        steps = steps[: at + 1] or [self._record(before)]
        steps = [*steps, self._record(step)][-MOST - 1 :]
        self._save(frame, steps, len(steps) - 1)

    def move(self, frame: int, by: int) -> FrameVersion | None:
        """Goes back (-1) or forth (1); None where there is nothing there."""
        steps, at = self._load(frame)
        if not 0 <= at + by < len(steps):
            return None
        self._save(frame, steps, at + by)
        return self._step(steps[at + by])

    def reach(self, frame: int) -> tuple[int, int]:
        """How many steps can be undone, and how many redone."""
        steps, at = self._load(frame)
        return at, max(0, len(steps) - 1 - at)

    def _file(self, frame: int) -> Path:
        return self.folder / f"{frame:08d}.json"

    def _load(self, frame: int) -> tuple[list[dict[str, Any]], int]:
        path = self._file(frame)
        if not path.exists():
            return [], 0
        record = json.loads(path.read_text())
        return record["steps"], record["at"]

    def _save(self, frame: int, steps: list[dict[str, Any]], at: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(self._file(frame)) as part:
            part.write_text(json.dumps({"at": at, "steps": steps}))

    def _record(self, step: FrameVersion) -> dict[str, Any]:
        packed = None if step.ids is None else base64.b64encode(zlib.compress(step.ids.tobytes(), 1)).decode()
        return {"ids": packed, "prompts": {str(i): said.record() for i, said in step.prompts.items()}}

    def _step(self, record: dict[str, Any]) -> FrameVersion:
        ids, prompts = record["ids"], record["prompts"]
        if ids is not None:
            ids = np.frombuffer(zlib.decompress(base64.b64decode(ids)), np.uint8).reshape(self.shape)
        return FrameVersion(ids, {int(i): Prompts.of_record(said) for i, said in prompts.items()})
