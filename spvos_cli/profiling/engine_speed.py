"""Which engine is faster on a card, from arrays to label maps."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from spvos_cli.data.demo_scene import scene
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.inference.machine import DTYPES
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.model.network import VOSNetwork
from spvos_cli.profiling.speed import now

ENGINES = ("torch", "graphs")
LENGTH = 96  # frames of the demo clip; the second half is timed
ALIKE = 0.999  # share of the pixels whose labels have to be the same

log = logging.getLogger(__name__)


def measure_engines(
    device: torch.device,
    dtypes: Iterable[str],
    networks: Callable[[EngineOptions], VOSNetwork] = EngineOptions.network,
    length: int = LENGTH,
    size: int = 480,
) -> dict[str, dict[str, float]]:
    """Milliseconds of a frame of the demo clip by type, as "float16", and engine; none of an engine that
    gives other labels than PyTorch.

    Args:
        dtypes: as the option calls them.
        networks: loads one.
        length: frames of the clip.
        size: as in `follow`.
    """
    clip = list(itertools.islice(scene(), length))
    found: dict[str, dict[str, float]] = {}
    for dtype in dtypes:
        times, expected = found.setdefault(str(DTYPES[dtype]).removeprefix("torch."), {}), list[np.ndarray]()
        for engine in ENGINES:
            network = networks(EngineOptions(device=device.type, dtype=dtype, engine=engine))
            ms, labels = follow(network, clip, size)
            expected = expected or labels
            same = min(float((a == b).mean()) for a, b in zip(labels, expected, strict=True))
            if same >= ALIKE:
                times[engine] = ms
            else:
                log.warning("--engine %s gives other labels in %s, and is not used", engine, dtype)
    return found


def follow(
    network: VOSNetwork, clip: Sequence[tuple[np.ndarray, np.ndarray]], size: int
) -> tuple[float, list[np.ndarray]]:
    """Milliseconds of a frame in the second half of a clip, and all label maps.

    Args:
        clip: frames (H, W, 3) and masks (H, W), of which the first is given.
        size: short side that the network sees at most.
    """
    segmenter, half = VideoSegmenter(network, size=size, region=False), len(clip) // 2
    labels = [segmenter.step(image, None if t else ids) for t, (image, ids) in enumerate(clip[:half])]
    started = now(segmenter.device)
    labels += [segmenter.step(image) for image, _ in clip[half:]]
    return 1e3 * (now(segmenter.device) - started) / (len(clip) - half), labels
