"""What trained gates decide on a video: the density that the cost of a frame follows from."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from spvos_cli.data.demo_scene import scene
from spvos_cli.errors import InputError
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.inference.steps import GivenFrame, segment_sequence
from spvos_cli.model.network import VOSNetwork
from spvos_cli.profiling.patterns import PatternTally
from spvos_cli.sparse.plan import PARTS, gated_convolutions
from spvos_cli.sparse.tally import PolicyTally
from spvos_cli.video.mask_opening import fit_mask
from spvos_cli.video.masks import read_mask

LENGTH = 24  # frames of the demo clip that are looked at


def measured_clip(video: Path | None, mask: Path | None) -> tuple[Iterable[np.ndarray], np.ndarray]:
    """Frames (H, W, 3) and the mask (H, W) of the first: of the files, or of the demo clip.

    Raises:
        InputError: a video without a mask, or files that cannot be used.
    """
    if video is None:
        frames, masks = zip(*itertools.islice(scene(), LENGTH), strict=True)
        return frames, masks[0]
    if mask is None:
        raise InputError(
            video, found="no mask given", expected="the mask of its first frame", fix="--mask MASK"
        )
    from spvos_cli.video.reader import open_source  # needs PyAV, which the demo clip does not

    source = open_source(str(video))
    ids = fit_mask(read_mask(mask).ids, source, mask)
    return (frame.image for frame in source), ids


def tally_policies(
    network: VOSNetwork, frames: Iterable[np.ndarray], mask: np.ndarray, size: int
) -> PatternTally:
    """Segments the frames and counts what every gated convolution decided.

    Args:
        network: prepared for inference.
        size: short side that the network sees at most.
    """
    config = network.config
    convolutions = gated_convolutions(network, config.structure, gate_all=config.gate_all)
    tally = PatternTally({conv: name for name, conv in convolutions.items()})
    segmenter = VideoSegmenter(network, size=size)
    given = (GivenFrame(str(i), frame, None if i else mask) for i, frame in enumerate(frames))
    for _ in segment_sequence(segmenter, given):
        tally.add(segmenter.runs)
    return tally


def densities(tally: PolicyTally) -> dict[str, float]:
    """By the letters Q, D and M, as far as they ran sparsely."""
    found = {letter: tally.density(module) for letter, module in PARTS.items()}
    return {letter: density for letter, density in found.items() if density is not None}
