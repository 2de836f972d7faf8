"""A video to segment, as it goes to a worker, and what became of it."""

from __future__ import annotations

from typing import NamedTuple

from spvos_cli.inference.engine import EngineOptions
from spvos_cli.segment.options import SegmentOptions
from spvos_cli.segment.pipeline import Summary

DONE, KEPT, FAILED = "done", "kept", "failed"


class VideoJob(NamedTuple):
    """Attributes:
    where: what messages call it.
    name: of its input.
    input, masks, outputs: as for `segment_video`.
    frames: how many it has, as far as is known before it is read.
    """

    where: str
    name: str
    input: str
    masks: tuple[str, ...]
    outputs: tuple[str, ...]
    options: SegmentOptions
    engine: EngineOptions
    frames: int | None


class VideoResult(NamedTuple):
    """What became of a video.

    Attributes:
        where: FILE:LINE of its row, or its input.
        input: as given; empty where a row has none.
        status: "done"; "kept", for all was as an earlier run left it; or "failed".
        summary: of the run that made its outputs; None where it failed.
        reason: why it failed.
        tries: how often it was begun.
    """

    where: str
    input: str
    status: str
    summary: Summary | None = None
    reason: str | None = None
    tries: int = 0
