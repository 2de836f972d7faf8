"""The object that users drive: a frame in, its label map out."""

from __future__ import annotations

from collections.abc import Collection

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spvos_cli.inference.stream import Stream
from spvos_cli.model.network import VOSNetwork
from spvos_cli.sparse.kernels import kernel_for
from spvos_cli.sparse.run import InferenceRun


class VideoSegmenter:
    """Follows the objects of one video.

    Args:
        network: prepared by `VOSNetwork.for_inference`; several segmenters may share it.
        size: frames are scaled so that their short side is at most this many pixels; label maps have the
            frame's size.
        mem_every, top_k, max_memory: as in `ModelConfig`, whose values hold where None.
    """

    def __init__(
        self,
        network: VOSNetwork,
        *,
        size: int = 480,
        mem_every: int | None = None,
        top_k: int | None = None,
        max_memory: int | None = None,
    ) -> None:
        config, parameter = network.config, next(p for p in network.parameters() if p.ndim == 4)
        self.network, self.size = network, size
        self.device, self.dtype = parameter.device, parameter.dtype
        self.mem_every, self.top_k = mem_every or config.mem_every, top_k or config.top_k
        self.max_memory = config.max_memory if max_memory is None else max_memory
        self.reset()

    def reset(self) -> None:
        """Forgets all objects and frames."""
        self._stream = Stream(
            self.network, self.mem_every, self.top_k, self.max_memory, self.dtype, kernel_for(self.device)
        )
        self.prob: Tensor | None = None

    @property
    def objects(self) -> list[int]:
        """Ids of the objects that are followed."""
        return self._stream.ids

    @property
    def runs(self) -> Collection[InferenceRun]:
        """What gated convolutions decided in the last step, a run for each module that has gates."""
        return self._stream.runs.values()

    def remove_object(self, *ids: int) -> None:
        """Stops following objects."""
        self._stream.remove(set(ids))

    def step(self, frame: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """Segments the next frame.

        Args:
            frame: (H, W, 3) uint8, RGB.
            mask: (H, W) ids of objects annotated in this frame, 0 elsewhere. New ids join, known ones are
                corrected.

        Returns:
            (H, W) uint8 label map: the most probable id of each pixel, 0 the background.
        """
        height, width = frame.shape[:2]
        ids = [] if mask is None else np.unique(mask[mask > 0]).tolist()
        if not ids and not self.objects:
            return np.zeros((height, width), np.uint8)
        scale = min(1.0, self.size / min(height, width))
        shape = (round(height * scale), round(width * scale))
        image = torch.from_numpy(_resize(frame, shape)).to(self.device).permute(2, 0, 1) / 255
        given = {
            i: torch.from_numpy(_resize((mask == i).astype(np.float32), shape)).to(self.device) for i in ids
        }
        self.prob = self._stream.step(image, given)
        return self._labels(height, width)

    def _labels(self, height: int, width: int) -> np.ndarray:
        prob = self.prob
        if prob.shape[1:] != (height, width):
            prob = F.interpolate(prob[None], (height, width), mode="bilinear")[0]
        table = np.array([0, *self.objects], np.uint8)
        return table[prob.max(dim=0).indices.cpu().numpy()]  # argmax is 50 times slower on a CPU


def _resize(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return image if image.shape[:2] == shape else cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA)
