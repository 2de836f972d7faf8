"""How the time of a frame grows: with the number of objects, with the size of the frame, and with the length
of the video."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from spvos_cli.inference.engine import EngineOptions
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.model.network import VOSNetwork
from spvos_cli.profiling.drawing import new_figure, save_figure
from spvos_cli.profiling.measure import measured_clip
from spvos_cli.profiling.runs.timing import frame_times
from spvos_cli.profiling.runs.variants import cut_mask

OBJECTS = (1, 2, 5, 10, 20)
LINES = (240, 360, 480, 720, 1080, 2160)
FRAMES, WARM_UP = 36, 12  # of each point, and how many of them do not count
BINS = 20  # points of the curve over the length
ASPECT = 16 / 9


def time_growth(engine: EngineOptions, video: Path | None, mask: Path | None, length: int) -> dict[str, Any]:
    """Milliseconds of a frame in the network alone.

    Args:
        video, mask: a clip, by default the rendered one; it goes on backwards and forwards.
        length: frames of the curve over the length.

    Returns:
        objects: [number, ms] for each number of objects; frame_size: [lines, ms] where the same object, in
        pixels, lies in frames of so many lines, none of which are scaled down; length: [frame, ms], medians.
    """
    frames, ids = measured_clip(video, mask)
    images, network = list(itertools.islice(frames, FRAMES)), engine.network()
    found: dict[str, Any] = {"objects": [], "frame_size": []}
    for objects in OBJECTS:
        times = frame_times(_segmenter(engine, network), images, cut_mask(ids, objects))
        found["objects"].append([objects, statistics.median(times[WARM_UP:])])
    for lines in LINES:
        segmenter = _segmenter(engine, network, size=lines)
        times = frame_times(segmenter, (on_canvas(i, lines, ids) for i in images), on_canvas(ids, lines, ids))
        found["frame_size"].append([lines, statistics.median(times[WARM_UP:])])
    long = itertools.islice(to_and_fro(images), length)
    times, step = frame_times(_segmenter(engine, network), long, ids), max(1, length // BINS)
    found["length"] = [
        [start + step, statistics.median(times[start : start + step])] for start in range(0, length, step)
    ]
    return found


def _segmenter(engine: EngineOptions, network: VOSNetwork, size: int | None = None) -> VideoSegmenter:
    return VideoSegmenter(
        network,
        size=size or engine.size,
        mem_every=engine.mem_every,
        top_k=engine.top_k,
        region=engine.region == "auto",
    )


def to_and_fro(images: list[np.ndarray]) -> Iterator[np.ndarray]:
    """A clip without end and without a cut."""
    return itertools.cycle(images + images[-2:0:-1])


def on_canvas(image: np.ndarray, lines: int, ids: np.ndarray) -> np.ndarray:
    """A frame of the clip, or its mask, in a frame of so many lines: cut about the mask's objects, or with
    its mirror images around it; masks have nothing there."""
    height, width = lines, round(lines * ASPECT)
    rows, columns = (np.flatnonzero(ids.any(axis=axis)) for axis in (1, 0))
    for axis, (wanted, where) in enumerate(((height, rows), (width, columns))):
        have = image.shape[axis]
        if have > wanted:
            start = min(max(0, int(where.mean()) - wanted // 2), have - wanted)
            image = np.take(image, range(start, start + wanted), axis=axis)
    top, left = ((n - have) // 2 for n, have in zip((height, width), image.shape, strict=False))
    bottom, right = height - image.shape[0] - top, width - image.shape[1] - left
    border = cv2.BORDER_REFLECT if image.ndim == 3 else cv2.BORDER_CONSTANT
    return np.asarray(cv2.copyMakeBorder(image, top, bottom, left, right, border))


def draw_growth(growth: dict[str, Any], path: Path) -> None:
    """Three small plots.

    Raises:
        InputError: Matplotlib is not installed, or the file cannot be written.
    """
    figure = new_figure("--growth", (10, 3))
    titles = {"objects": "objects", "frame_size": "lines of the frame", "length": "frames since the start"}
    for axes, (name, title) in zip(figure.subplots(1, 3), titles.items(), strict=True):
        x, ms = zip(*growth[name], strict=True)
        axes.plot(x, ms, marker="o", markersize=3)
        axes.set_xlabel(title)
        axes.set_ylim(bottom=0)
    figure.axes[0].set_ylabel("ms a frame")
    save_figure(figure, path, "--growth")
