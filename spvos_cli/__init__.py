"""Video object segmentation with triple sparse convolution.

    from spvos_cli import segment_video
    segment_video("input.mp4", "first.png", ["masks", "overlay.mp4"])

on files; `segment_videos(jobs)` on many; `segment_frames(frames, masks)` on arrays; or frame by frame, with
`VideoSegmenter(load_model())`. `to_detections(labels)` is for the `supervision` library.
Names are looked up when they are used: importing the package imports nothing heavy.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spvos_cli.batch.api import segment_videos
    from spvos_cli.batch.summary import BatchSummary
    from spvos_cli.batch.video_job import VideoResult
    from spvos_cli.errors import InputError
    from spvos_cli.inference.engine import EngineOptions
    from spvos_cli.inference.load import load_model
    from spvos_cli.inference.segmenter import VideoSegmenter
    from spvos_cli.segment.api import FrameFacts, segment_frames, segment_video
    from spvos_cli.segment.detections import to_detections
    from spvos_cli.segment.options import SegmentOptions
    from spvos_cli.segment.pipeline import Summary

__version__ = "0.2.0"
__all__ = [
    "BatchSummary",
    "EngineOptions",
    "FrameFacts",
    "InputError",
    "SegmentOptions",
    "Summary",
    "VideoResult",
    "VideoSegmenter",
    "load_model",
    "segment_frames",
    "segment_video",
    "segment_videos",
    "to_detections",
]

_HOMES = {
    "BatchSummary": "spvos_cli.batch.summary",
    "EngineOptions": "spvos_cli.inference.engine",
    "FrameFacts": "spvos_cli.segment.api",
    "InputError": "spvos_cli.errors",
    "SegmentOptions": "spvos_cli.segment.options",
    "Summary": "spvos_cli.segment.pipeline",
    "VideoResult": "spvos_cli.batch.video_job",
    "VideoSegmenter": "spvos_cli.inference.segmenter",
    "load_model": "spvos_cli.inference.load",
    "segment_frames": "spvos_cli.segment.api",
    "segment_video": "spvos_cli.segment.api",
    "segment_videos": "spvos_cli.batch.api",
    "to_detections": "spvos_cli.segment.detections",
}


if not TYPE_CHECKING:  # a checker would take every name for known

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "VideoSegmenter":  # whose module needs PyTorch
            from spvos_cli.process import load_torch

            load_torch()
        return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
