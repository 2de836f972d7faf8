"""A network over the sequences of a benchmark: masks on disk, and what each sequence took."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spvos_cli.benchmark.datasets import Benchmark, BenchmarkVideo
from spvos_cli.benchmark.record import RunFolder
from spvos_cli.data.folders import read_frame
from spvos_cli.distributed import Processes
from spvos_cli.evaluation.colours import true_masks
from spvos_cli.evaluation.protocol import VoidRule
from spvos_cli.evaluation.report.results import SequenceRun
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.inference.steps import GivenFrame, Step, segment_sequence
from spvos_cli.sparse.plan import PARTS, gated_convolutions
from spvos_cli.sparse.tally import PolicyTally
from spvos_cli.ui import Reporter
from spvos_cli.video.label_files import save_label_map
from spvos_cli.video.pngs import remove_own_pngs
from spvos_cli.video.threads import Background, prefetch


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

    def segment_left() -> Iterator[Step]:
        for video in left:
            run = _Run(segmenter)
            yield from run.segment(video, benchmark, folder.masks / video.name)
            runs[video.name] = run.result()
            folder.finish(video, runs[video.name])

    for _ in reporter.track(segment_left(), sum(len(video.frames) for video in left)):
        pass
    return runs


def given_frames(video: BenchmarkVideo, benchmark: Benchmark) -> Iterator[GivenFrame]:
    """The frames, each with the masks of the objects that join in it: all in the first annotated frame, or
    each in the one that first has it."""
    ids, known = VoidRule(merge=benchmark.merge_objects), set[int]()
    maps = true_masks(video.name, video.masks)
    for file in video.frames:
        mask = None
        if file.stem in video.masks and (benchmark.late_objects or not known):
            labels, found = ids.apply(maps.read(file.stem))
            new = [i for i in found if i not in known]
            known.update(new)
            mask = np.where(np.isin(labels, new), labels, 0).astype(np.uint8) if new else None
        yield GivenFrame(file.stem, read_frame(file), mask)


class _Run:
    """One sequence: masks are written beside the network, and what it takes is added up."""

    def __init__(self, segmenter: VideoSegmenter) -> None:
        segmenter.reset()
        config = segmenter.network.config
        convolutions = gated_convolutions(segmenter.network, config.structure, gate_all=config.gate_all)
        self._segmenter = segmenter
        self._tally = PolicyTally({conv: name for name, conv in convolutions.items()})
        self._frames, self._seconds, self._objects = 0, 0.0, set[int]()

    def segment(self, video: BenchmarkVideo, benchmark: Benchmark, folder: Path) -> Iterator[Step]:
        """Yields each step when its mask is on its way to the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        remove_own_pngs(folder)
        background: Background[tuple[Path, np.ndarray]] = Background(lambda item: save_label_map(*item))
        with background:
            for step in segment_sequence(self._segmenter, prefetch(given_frames(video, benchmark))):
                self._frames, self._seconds = self._frames + 1, self._seconds + step.seconds
                self._objects.update(self._segmenter.objects)
                self._tally.add(self._segmenter.runs)
                if step.name in video.kept:
                    background.put((folder / f"{step.name}.png", step.labels))
                yield step

    def result(self) -> SequenceRun:
        prob = self._segmenter.prob
        size = (0, 0) if prob is None else (prob.shape[2], prob.shape[1])
        computed, gated = tally_macs(self._tally)
        layers = tally_layers(self._tally)
        return SequenceRun(self._frames, self._seconds, computed, gated, layers, size, len(self._objects))


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
