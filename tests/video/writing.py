"""What tests of outputs share: a source in memory, segmented frames without a network, reading videos."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from spvos_cli.video.frames import Frame, Source
from spvos_cli.video.paint import Look
from spvos_cli.video.palettes import voc_palette
from spvos_cli.video.writers.writer import Facts, SegmentedFrame, Setting, Writer
from tests.conftest import make_frame

TIMES = [40_000 + t for t in (0, 33, 100, 133, 133 + 67, 400, 433, 500)]  # milliseconds, irregular


class MemorySource(Source):
    """Frames of the test clip, at irregular times."""

    name, frames, rate, time_base = "clip", len(TIMES), Fraction(25), Fraction(1, 1000)

    def __init__(self, width: int = 128, height: int = 96) -> None:
        self.width, self.height = width, height


def setting(source: Source | None = None) -> Setting:
    return Setting(source or MemorySource(), Look(voc_palette()))


def segmented(t: int, width: int = 128, height: int = 96) -> SegmentedFrame:
    """Frame t of the test clip, with its true masks as labels."""
    image, labels = (np.ascontiguousarray(x[:height, :width]) for x in make_frame(t))
    soft = np.stack([(labels == i).astype(np.float32) * 0.75 for i in (1, 2)])
    areas = np.bincount(labels.ravel(), minlength=256)
    facts = Facts((1, 2), areas, {1: 0.9, 2: 0.8}, 0.25, {"skip": 0.5}, 12.5, ("shot_cut",), soft)
    return SegmentedFrame(Frame(t, image, f"{t:05d}", TIMES[t], (), TIMES[t] / 1000), labels, facts)


def write_in_two_runs(make: type[Writer], path: Path, count: int = 8) -> list[SegmentedFrame]:
    """Frames up to 5, a checkpoint before 3, an end as by SIGKILL; then a resumed run from 3 on."""
    frames = [segmented(t) for t in range(count)]
    writer = make(path, setting())
    for frame in frames[:3]:
        writer.write(frame)
    saved = writer.checkpoint(3)
    for frame in frames[3:5]:
        writer.write(frame)
    resumed = make(path, setting(), saved)
    for frame in frames[3:]:
        resumed.write(frame)
    resumed.close()
    resumed.clean_up()
    return frames


def in_process(function: Callable[[type[Writer], Path], None], make: type[Writer], path: Path) -> int | None:
    """The exit status of a process of its own, None if it hangs; a fork of this one could wait for threads
    that it lacks."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=(make, path))
    process.start()
    process.join(120)
    code = process.exitcode
    process.kill()
    return code


def write_and_die(make: type[Writer], path: Path) -> None:
    """Six frames, then SIGKILL."""
    writer = make(path, setting())
    for t in range(6):
        writer.write(segmented(t))
    os.kill(os.getpid(), signal.SIGKILL)


def fill_disk(make: type[Writer], path: Path) -> None:
    """A limit on the size of files stands for the disk. Exits with 42 on an error of the system."""
    try:
        writer = make(path, setting())
        resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))
        for t in range(8):
            writer.write(segmented(t))
        writer.close()
    except OSError as error:
        os._exit(42 if error.errno else 3)


def decode(path: Path, form: str, codec: str | None = None) -> tuple[list[np.ndarray], list[float]]:
    """Frames and their times in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if codec is None:
            frames = list(container.decode(stream))
        else:
            decoder = av.CodecContext.create(codec, "r")
            frames = [
                frame for packet in container.demux(stream) if packet.size for frame in decoder.decode(packet)
            ]
        return [f.to_ndarray(format=form) for f in frames], [float(f.pts * stream.time_base) for f in frames]
