"""The keyword arguments of the Python API, for editors and type checkers: names and types of the fields of
`EngineOptions` and `SegmentOptions` (a test compares them), which have their help and limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict


class FrameKeywords(TypedDict, total=False):
    """See `EngineOptions`."""

    model: str
    weights: str | Path | None
    method: str | None
    sparse: str | None
    gate_all: bool | None
    strategy: str | None
    gate: str | None
    size: int
    mem_every: int | None
    top_k: int | None
    max_memory: int | None
    long_memory: int | None
    reuse: bool
    region: str
    flip: bool
    engine: str
    device: str
    dtype: str
    threads: int | None


class VideoKeywords(FrameKeywords, total=False):
    """See `EngineOptions` and `SegmentOptions`."""

    box: str | Sequence[str]
    click: str | Sequence[str]
    start: int | str | None
    end: int | str | None
    stride: int
    backward: bool
    live: bool
    allow_network: bool
    track: int | None
    range: str | None
    fps: str | float | None
    format: str
    preview: int
    overlay_alpha: float
    contour: int | None
    show_names: bool
    colours: str | None
    resume: bool
    save_every: float
    overwrite: bool
