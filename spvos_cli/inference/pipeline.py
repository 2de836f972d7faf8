"""`segment_video`: a video and the masks of some of its frames in, the masks of all frames out."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spvos_cli.errors import InputError
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.ui import Reporter
from spvos_cli.video.masks import Mask, fit_mask, read_mask
from spvos_cli.video.reader import Source, open_source
from spvos_cli.video.threads import Background, prefetch
from spvos_cli.video.writers import Segmented, Writer, check_output, writer_for


class Summary(NamedTuple):
    """What a run did: frames segmented, objects followed, frames a second, seconds, outputs, peak memory in
    MiB."""

    frames: int
    objects: int
    fps: float
    seconds: float
    outputs: list[str]
    peak_rss_mib: float | None


def segment_video(
    input: str | Path,
    mask: str | Path | Sequence[str],
    output: Sequence[str | Path] = (),
    *,
    overwrite: bool = False,
    reporter: Reporter | None = None,
    **engine: Any,
) -> Summary:
    """Segments the objects of the given masks in every frame from the first mask on.

    Args:
        input: a video file, a folder or glob of images, or "-" for a container on standard input.
        mask: a mask of the first frame, or several as "FRAME:FILE".
        output: folders (indexed PNGs) and .mp4 files (overlay); by default NAME_masks and NAME_overlay.mp4
            here.
        overwrite: whether existing outputs may be replaced.
        reporter: where progress and remarks go; nowhere by default.
        engine: fields of `EngineOptions`: model, weights, size, device, dtype ...

    Raises:
        InputError: something given cannot be used; nothing has been written then.
    """
    reporter = reporter or Reporter(quiet=True)
    source = open_source(str(input))
    outputs = [Path(path) for path in output] or [
        Path(f"{source.name}_masks"),
        Path(f"{source.name}_overlay.mp4"),
    ]
    for path in outputs:
        check_output(path, overwrite=overwrite)
    masks = read_masks([mask] if isinstance(mask, str | Path) else mask, source)
    segmenter = EngineOptions(**engine).segmenter(reporter)
    palette = next(iter(masks.values())).palette
    start = time.perf_counter()
    with open_writers(outputs, source, palette) as writers:
        frames = reporter.track(prefetch(source), source.frames)
        count = run(frames, segmenter, {frame: m.ids for frame, m in masks.items()}, writers)
    seconds = time.perf_counter() - start
    objects = len({int(i) for m in masks.values() for i in np.unique(m.ids) if i})
    return Summary(count, objects, count / seconds, seconds, [str(path) for path in outputs], peak_rss_mib())


def run(
    frames: Iterable, segmenter: VideoSegmenter, masks: dict[int, np.ndarray], writers: list[Writer]
) -> int:
    """Segments and writes frame by frame; returns how many there were."""

    def write(segmented: Segmented) -> None:
        for writer in writers:
            writer.write(segmented)

    count = 0
    with Background(write) as background:
        for frame in frames:
            background.put(Segmented(frame, segmenter.step(frame.image, masks.get(frame.index))))
            count += 1
    return count


def read_masks(texts: Sequence[str | Path], source: Source) -> dict[int, Mask]:
    """Masks by frame, at the source's size.

    Raises:
        InputError: a mask cannot be used, or two are for the same frame.
    """
    masks: dict[int, Mask] = {}
    for text in texts:
        match = re.fullmatch(r"(\d+):(.+)", str(text))
        frame, path = (int(match[1]), Path(match[2])) if match else (0, Path(text))
        if frame in masks:
            raise InputError(
                path, f"a second mask for frame {frame}", "one mask a frame", "--mask FRAME:MASK"
            )
        mask = read_mask(path)
        masks[frame] = mask._replace(ids=fit_mask(mask.ids, source.height, source.width, path))
    return masks


@contextlib.contextmanager
def open_writers(outputs: list[Path], source: Source, palette: np.ndarray) -> Iterator[list[Writer]]:
    """A writer for each output; all are closed whatever happens, so that what was written stays usable."""
    with contextlib.ExitStack() as stack:
        writers = []
        for path in outputs:
            writers.append(writer_for(path)(path, source, palette))
            stack.callback(writers[-1].close)
        yield writers


def peak_rss_mib() -> float | None:
    """The most memory that this process ever held; None on Windows, which does not say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
