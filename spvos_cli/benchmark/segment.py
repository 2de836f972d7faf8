"""A network over the sequences of a benchmark: masks on disk, and what each sequence took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spvos_cli.benchmark.datasets import Benchmark, BenchmarkVideo
from spvos_cli.benchmark.record import RunFolder
from spvos_cli.data.folders import read_frame
from spvos_cli.distributed import Processes
from spvos_cli.evaluation.protocol import VoidRule
from spvos_cli.evaluation.report.results import SequenceRun
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.sparse.plan import PARTS, gated_convolutions
from spvos_cli.sparse.tally import PolicyTally
from spvos_cli.ui import Reporter
from spvos_cli.video.label_files import read_label_map, save_label_map
from spvos_cli.video.pngs import remove_own_pngs
from spvos_cli.video.threads import Background, prefetch


class BenchmarkFrame(NamedTuple):
    """A frame of a benchmark.

    Attributes:
        name: of its file, without suffix.
        image: (H, W, 3) uint8, RGB.
        mask: ids (H, W) uint8 of the objects that join in it; None where none does.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray | None


def own_share(videos: list[BenchmarkVideo], group: Processes) -> list[BenchmarkVideo]:
    """This process's videos: the longest first, each process in turn."""
    ordered = sorted(videos, key=lambda video: (-len(video.frames), video.name))
    return ordered[group.rank :: group.world]


def segment_videos(
    videos: list[BenchmarkVideo],
    benchmark: Benchmark,
    segmenter: VideoSegmenter,
    folder: RunFolder,
    reporter: Reporter,
) -> dict[str, SequenceRun]:
    """Segments what is not finished yet.

    Args:
        folder: gets masks and records.

    Returns:
        What each sequence took, also those of earlier runs.

    Raises:
        InputError: a frame or a mask cannot be read.
    """
    runs = {video.name: run for video in videos if (run := folder.finished(video))}
    if runs:
        finished = f"{len(runs)} of {len(videos)} sequences are finished already"
        reporter.note(f"{finished}: {folder.path} (--fresh runs them again)")
    left = [video for video in videos if video.name not in runs]

    def frames() -> Iterator[None]:
        for video in left:
            run = yield from _segment(video, benchmark, segmenter, folder.masks / video.name)
            folder.finish(video, run)
            runs[video.name] = run

    for _ in reporter.track(frames(), sum(len(video.frames) for video in left)):
        pass
    return runs


def given_frames(video: BenchmarkVideo, benchmark: Benchmark) -> Iterator[BenchmarkFrame]:
    """The frames, each with the masks of the objects that join in it: all in the first annotated frame, or
    each in the one that first has it."""
    ids, known = VoidRule(merge=benchmark.merge_objects), set()
    for file in video.frames:
        mask = None
        if file.stem in video.masks and (benchmark.late_objects or not known):
            labels, found = ids.apply(read_label_map(video.masks[file.stem]))
            new = [i for i in found if i not in known]
            known.update(new)
            mask = np.where(np.isin(labels, new), labels, 0).astype(np.uint8) if new else None
        yield BenchmarkFrame(file.stem, read_frame(file), mask)


def _segment(
    video: BenchmarkVideo, benchmark: Benchmark, segmenter: VideoSegmenter, folder: Path
) -> Iterator[None]:
    """Yields after every frame; returns what it took."""
    segmenter.reset()
    config, seconds, objects = segmenter.network.config, 0.0, set()
    convolutions = gated_convolutions(segmenter.network, config.structure, gate_all=config.gate_all)
    tally = PolicyTally({conv: name for name, conv in convolutions.items()})
    folder.mkdir(parents=True, exist_ok=True)
    remove_own_pngs(folder)
    with Background(lambda item: save_label_map(*item)) as background:
        for name, image, mask in prefetch(given_frames(video, benchmark)):
            start = time.perf_counter()
            labels = segmenter.step(image, mask)
            seconds += time.perf_counter() - start
            objects.update(segmenter.objects)
            tally.add(segmenter.runs)
            if name in video.kept:
                background.put((folder / f"{name}.png", labels))
            yield
    size = (0, 0) if segmenter.prob is None else tuple(segmenter.prob.shape[:0:-1])
    return SequenceRun(
        len(video.frames), seconds, *tally_macs(tally), tally_layers(tally), size, len(objects)
    )


def tally_macs(tally: PolicyTally) -> tuple[dict[str, int], dict[str, int]]:
    """Multiply-accumulates of gated convolutions on sparse frames, done and in all, by Q, D and M."""
    computed, gated = {}, {}
    for letter, module in PARTS.items():
        done, total = tally.macs(f"{module}.")
        if total:
            computed[letter], gated[letter] = done, total
    return computed, gated


def tally_layers(tally: PolicyTally) -> dict[str, list[int]]:
    """As in `SequenceRun.layers`."""
    return {
        name: [*layer.pixels.tolist(), layer.steps, layer.varying] for name, layer in tally.layers.items()
    }
