"""What every output is given and promises."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spvos_cli.video.frames import Frame, Note, Source
from spvos_cli.video.paint import Look


class Facts(NamedTuple):
    """What is known of a frame beside its label map.

    Attributes:
        objects: ids that are followed.
        areas: (256,) pixels of each id.
        confidence: mean probability of an id over the pixels that it holds, where it holds any.
        density: share of multiply-accumulates done in gated layers; None where nothing ran sparsely.
        policies: shares of skip, reuse and compute.
        ms: time that the network took.
        events: marks such as "shot_cut" or "lost:2".
        soft: (K, h, w) float32 probabilities of the objects, at the network's size; None unless a writer
            asked.
        decisions: (h, w) uint8, of gates: 0 skipped, 1 reused, 2 computed, more where nothing was looked at;
            None where everything was computed, or unless a writer asked.
    """

    objects: tuple[int, ...]
    areas: np.ndarray
    confidence: dict[int, float]
    density: float | None = None
    policies: dict[str, float] | None = None
    ms: float = 0.0
    events: tuple[str, ...] = ()
    soft: np.ndarray | None = None
    decisions: np.ndarray | None = None


class SegmentedFrame(NamedTuple):
    """A frame with its label map (H, W) uint8."""

    frame: Frame
    labels: np.ndarray
    facts: Facts


class Setting(NamedTuple):
    """What the outputs of a run share: where frames come from, how overlays look, who takes remarks, and
    what objects are called, by id."""

    source: Source
    look: Look
    note: Note = lambda text: None
    names: Mapping[int, str] = {}


class Writer:
    """Takes segmented frames in order. What it leaves behind when it is cut off is whole or absent.

    Args:
        path: the folder or file to write.
        setting: what the run's outputs share.
        saved: what `checkpoint` gave, to go on from there; None to start anew.

    Attributes:
        uses_soft, needs_soft: whether probabilities are wanted, and whether it cannot do without.
        needs_decisions: whether it shows what gates decided.
    """

    uses_soft = needs_soft = needs_decisions = False

    def __init__(self, path: Path, setting: Setting, saved: dict[str, Any] | None = None) -> None:
        self.path, self.source, self.look, self.note, self.names = path, *setting

    @classmethod
    def exists_at(cls, path: Path) -> bool:
        """Whether a writer that starts anew would replace something there."""
        return path.exists()

    @classmethod
    def written_at(cls, path: Path) -> list[Path]:
        """The files of an output that is there, as far as writers like this one made them."""
        return [path] if path.is_file() else []

    def write(self, segmented: SegmentedFrame) -> None:
        """The next frame."""
        raise NotImplementedError

    def checkpoint(self, frame: int) -> dict[str, Any]:
        """Puts all frames before this one on disk; returns what a resumed writer needs to go on with it."""
        return {"frame": frame}

    def close(self) -> None:
        """Finishes the output; called also when the run was cut short."""

    def clean_up(self) -> None:
        """Removes what only a resumed run would need; called when a run is complete."""


class PartWriter(Writer):
    """A writer that works in the folder PATH.part and makes PATH of it at the end."""

    def __init__(self, path: Path, setting: Setting, saved: dict[str, Any] | None = None) -> None:
        super().__init__(path, setting, saved)
        self.folder = working_path(path)
        if saved is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(exist_ok=True)

    @classmethod
    def exists_at(cls, path: Path) -> bool:
        return path.exists() or _is_filled(working_path(path))

    def clean_up(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def working_path(path: Path) -> Path:
    """Where a run keeps what becomes an output at its end."""
    return path.with_name(path.name + ".part")


def _is_filled(path: Path) -> bool:
    """A file, or a folder with something in it: what an interrupted run did, or somebody else's."""
    return any(path.iterdir()) if path.is_dir() else path.exists()
