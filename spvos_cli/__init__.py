"""Video object segmentation with triple sparse convolution.

    from spvos_cli import segment_video
    segment_video("input.mp4", "first.png", ["masks", "overlay.mp4"])

or frame by frame, with `VideoSegmenter(load_model())`. Names are looked up when they are used: importing the
package imports nothing heavy.
"""

import importlib

__version__ = "0.1.0"
__all__ = [
    "EngineOptions",
    "InputError",
    "SegmentOptions",
    "Summary",
    "VideoSegmenter",
    "load_model",
    "segment_video",
]

_HOMES = {
    "EngineOptions": "spvos_cli.inference.engine",
    "InputError": "spvos_cli.errors",
    "SegmentOptions": "spvos_cli.segment.options",
    "Summary": "spvos_cli.segment.pipeline",
    "VideoSegmenter": "spvos_cli.inference.segmenter",
    "load_model": "spvos_cli.inference.engine",
    "segment_video": "spvos_cli.segment.pipeline",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
