"""A video segmented as `spvos segment` does it, with PNGs and an overlay, and by the network alone: how long
a frame takes, and what in it."""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.inference.threads import thread_count
from spvos_cli.model.network import VOSNetwork
from spvos_cli.processors import default_threads
from spvos_cli.profiling.measure import measured_clip
from spvos_cli.profiling.runs.stages import Frame, Spent, StageClock
from spvos_cli.profiling.runs.variants import Variant, cut_mask
from spvos_cli.profiling.speed import now
from spvos_cli.segment.api import segment_video
from spvos_cli.video.palettes import indexed_image, voc_palette

WARM_UP = 10  # frames that are not counted: the memory fills
MOST_FRAMES = 100  # that the network alone is timed on, as they are held in memory


class TimedRun(NamedTuple):
    """What was measured of one run.

    Attributes:
        fps: frames a second of the whole run, from opening the video to the finished outputs.
        cpu_ms: processor time of the whole process for a frame.
        stages: by thread, of each frame.
        alone: milliseconds of each frame in the network alone.
    """

    fps: float
    cpu_ms: float
    stages: dict[str, list[Frame]]
    alone: list[float]


def time_video(variants: Sequence[Variant], video: Path, mask: Path | None, rounds: int) -> dict[str, Any]:
    """Times all variants in turn, so that a machine that changes its speed changes it for all.

    Args:
        mask: of the first frame.
        rounds: how often each variant runs.

    Returns:
        ms_median, ms_p95 and fps of the first variant from end to end, and `runs`, a row a variant; see
        `summarize`.

    Raises:
        InputError: files that cannot be used, or a network that cannot be had.
    """
    frames, ids = measured_clip(video, mask)
    images = list(itertools.islice(frames, MOST_FRAMES))
    networks: dict[tuple[str, str], VOSNetwork] = {}
    runs: list[list[TimedRun]] = [[] for _ in variants]
    for _ in range(rounds):
        for variant, done in zip(variants, runs, strict=True):
            key = variant.engine.dtype, variant.engine.engine
            if key not in networks:
                networks[key] = variant.engine.network()
            done.append(_run(variant, networks[key], video, images, cut_mask(ids, variant.objects)))
    rows = [summarize(variant, done) for variant, done in zip(variants, runs, strict=True)]
    return {**rows[0]["end_to_end"], "runs": rows}


def _run(
    variant: Variant, network: VOSNetwork, video: Path, images: list[np.ndarray], ids: np.ndarray
) -> TimedRun:
    engine, clock = variant.engine, StageClock(network.device)
    options: dict[str, Any] = {
        name: value
        for name in ("mem_every", "top_k", "size", "max_memory", "long_memory", "region")
        if (value := getattr(engine, name)) is not None
    }
    threads = engine.threads or default_threads()
    with tempfile.TemporaryDirectory(prefix="spvos") as folder, clock.installed():
        mask = Path(folder) / "first.png"
        indexed_image(ids, voc_palette()).save(mask)
        outputs = [f"{folder}/masks", f"{folder}/overlay.mp4"]
        cpu = time.process_time()
        summary = segment_video(video, mask, outputs, network=network, threads=threads, **options)
        cpu = time.process_time() - cpu
    options["region"] = engine.region == "auto"
    segmenter = VideoSegmenter(network, **options)
    with thread_count(threads, network):
        alone = frame_times(segmenter, images, ids)
    return TimedRun(summary.fps, 1e3 * cpu / summary.frames, clock.frames, alone)


def frame_times(segmenter: VideoSegmenter, images: Iterable[np.ndarray], ids: np.ndarray) -> list[float]:
    """Milliseconds of each frame, the first with its mask."""
    times = []
    for number, image in enumerate(images):
        start = now(segmenter.device)
        segmenter.step(image, None if number else ids)
        times.append(1e3 * (now(segmenter.device) - start))
    return times


def summarize(variant: Variant, runs: Sequence[TimedRun]) -> dict[str, Any]:
    """Of all counted frames of all runs: medians and 95th percentiles in milliseconds, from end to end, of
    the network alone and by stage; cpu_ms are means, of a stage's thread alone without the threads that it
    starts."""
    engine = variant.engine
    totals = [sum(s.ms for s in frame.values()) for run in runs for frame in counted(run.stages["main"])]
    stages = []
    for thread in runs[0].stages:
        frames = [frame for run in runs for frame in counted(run.stages[thread])]
        for name in dict.fromkeys(name for frame in frames for name in frame):
            spent = [frame.get(name, Spent(0.0, 0.0)) for frame in frames]
            cpu = statistics.mean(each.cpu_ms for each in spent)
            stages.append({"thread": thread, "stage": name, **spread([s.ms for s in spent]), "cpu_ms": cpu})
    alone = spread([ms for run in runs for ms in counted(run.alone)])
    return {
        "name": variant.name,
        "objects": variant.objects,
        **{name: getattr(engine, name) for name in ("dtype", "engine", "region")},
        "end_to_end": {
            **spread(totals),
            "fps": statistics.median(run.fps for run in runs),
            "cpu_ms": statistics.median(run.cpu_ms for run in runs),
        },
        "network": {**alone, "fps": 1e3 / alone["ms_median"]},
        "stages": stages,
    }


def counted(frames: list[Any]) -> list[Any]:
    """Those after the warm-up, but for the last; of a short clip the second half."""
    return frames[min(WARM_UP, len(frames) // 2) : -1] or frames


def spread(times: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    median = statistics.median(times)
    high = statistics.quantiles(times, n=20)[-1] if len(times) > 1 else median
    return {"ms_median": median, "ms_p95": high}
