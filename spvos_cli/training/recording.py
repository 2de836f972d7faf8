"""Streams as the decoder sees them: what enters it in each frame of a video, computed once and kept.

Where nothing but the decoder learns, all that comes before it stays the same. A clip then needs no trunk and
no memory, and the sizes, the motion and the memory behind it are those of test time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.model.encoders import Query
from spvos_cli.model.layers import pad_to_multiple
from spvos_cli.model.network import VOSNetwork

INPUTS = ("readout", "value", "f8", "f4")
STRIDES = (16, 16, 8, 4)


class Recording(NamedTuple):
    """One stream; T frames after the first that is annotated, K objects, H and W multiples of 16.

    Attributes:
        readout: (T, K, C, H/16, W/16), value, f8, f4: (T, C, ...), the query's; float16, read when indexed.
        ids: (T, H, W) uint8 in 0..K, the true masks.
    """

    readout: np.ndarray
    value: np.ndarray
    f8: np.ndarray
    f4: np.ndarray
    ids: np.ndarray

    @classmethod
    def load(cls, folder: Path) -> Recording:
        """What `record` wrote."""
        return cls(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in cls._fields))


class DecoderInputs(NamedTuple):
    """Of one moment, (B, C, ...) each, for one object a row."""

    readout: Tensor
    value: Tensor
    f8: Tensor
    f4: Tensor

    def query(self) -> Query:
        """With nothing for the key and f16, which decoders do not read."""
        nothing = self.value[:, :0]
        return Query(nothing, self.value, nothing, self.f8, self.f4)


Moments = Iterable[tuple[np.ndarray, np.ndarray]]  # frames (H, W, 3) uint8 RGB and true ids (H, W) uint8


def record(network: VOSNetwork, moments: Moments, folder: Path) -> None:
    """Streams a video from its first annotated frame, and writes what entered the decoder to a new folder.

    Args:
        network: prepared by `VOSNetwork.for_inference`.

    Raises:
        ValueError: there is no frame after the first that shows an object.
    """
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name, array in stream(network, moments)._asdict().items():
        np.save(part / f"{name}.npy", array)
    os.replace(part, folder)


def stream(network: VOSNetwork, moments: Moments) -> Recording:
    """One video, with the objects of its first annotated frame; as `record`."""
    segmenter, kept = VideoSegmenter(network), []
    hook = network.decoder.register_forward_pre_hook(lambda module, inputs: kept.append(_half(*inputs[:2])))
    try:
        ids = [_step(segmenter, frame, mask) for frame, mask in moments]
    finally:
        hook.remove()
    if not kept:
        raise ValueError("no frame after the first one with an object")
    arrays = [np.stack(arrays) for arrays in zip(*kept, strict=True)]
    return Recording(*arrays, np.stack(ids[-len(kept) :]))


def _step(segmenter: VideoSegmenter, frame: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    """The true ids at the network's size, in the order of the segmenter's objects; None before there are
    any."""
    segmenter.step(frame, None if segmenter.objects else mask)
    if not segmenter.objects:
        return None
    table = np.zeros(256, np.uint8)
    table[segmenter.objects] = np.arange(1, len(segmenter.objects) + 1)
    height, width = segmenter.prob.shape[1:]
    ids = cv2.resize(cv2.LUT(mask, table), (width, height), interpolation=cv2.INTER_NEAREST)
    return pad_to_multiple(torch.from_numpy(ids))[0].numpy()


def _half(readout: Tensor, query: Query) -> list[np.ndarray]:
    tensors = readout[0], query.value[0], query.f8[0], query.f4[0]
    return [x.to("cpu", torch.float16).numpy() for x in tensors]
