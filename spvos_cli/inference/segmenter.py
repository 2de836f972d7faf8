"""The object that users drive: a frame in, its label map out."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spvos_cli.inference.arrays import checked_frame, checked_mask, same_size
from spvos_cli.inference.decisions import decisions_of
from spvos_cli.inference.lines import lines_for
from spvos_cli.inference.measurements import confidence_table, fetched, strongest
from spvos_cli.inference.mirrored import MirroredStream
from spvos_cli.inference.stream import State, Stream
from spvos_cli.inference.views import ArrayView, Placed, resized
from spvos_cli.model.network import VOSNetwork
from spvos_cli.sparse.kernels import kernel_for
from spvos_cli.sparse.kernels.reference import REFERENCE
from spvos_cli.sparse.run import Inject, ModuleRunner
from spvos_cli.sparse.tally import PolicyTally, counts_by_row, policies_of


class GateStats(NamedTuple):
    """What gates decided in one frame.

    Attributes:
        computed, total: multiply-accumulates of gated layers that ran sparsely: done, and there were to do.
        policies: shares of skip, reuse and compute; empty where nothing ran sparsely.
    """

    computed: int
    total: int
    policies: dict[str, float]


class VideoSegmenter:
    """Follows the objects of one video.

    Args:
        network: prepared by `VOSNetwork.for_inference`; several segmenters may share it.
        size: frames are scaled so that their short side is at most this many pixels, or more where `region`
            makes that cheap (`lines_for`); label maps have the frame's size.
        mem_every, top_k, max_memory, long_memory: as in `ModelConfig`, whose values hold where None.
        inject: replaces the policies that gates chose, as in `InferenceRun`.
        region: whether on a CPU only a window about the objects goes through the network, where they are all
            to be seen in it; the time of a frame then depends on their size, not on its own.
        flip: whether each frame is looked at mirrored as well.

    Attributes:
        lines: what the short side of frames is scaled to at most, as long as the same objects are followed.
        measured: whether `confidence` and `gate_stats` are wanted of every frame: then they come with the
            label map, so that a GPU is waited for once. They can be had without it.
    """

    def __init__(
        self,
        network: VOSNetwork,
        *,
        size: int = 480,
        mem_every: int | None = None,
        top_k: int | None = None,
        max_memory: int | None = None,
        long_memory: int | None = None,
        inject: Inject | None = None,
        region: bool = True,
        flip: bool = False,
    ) -> None:
        config = network.config
        self.network, self.size = network, size
        self.device, self.dtype = network.device, network.dtype
        self.mem_every, self.top_k = mem_every or config.mem_every, top_k or config.top_k
        self.max_memory = config.max_memory if max_memory is None else max_memory
        self.long_memory = config.long_memory if long_memory is None else long_memory
        # where a window lies has to be known on the host, which would wait for a GPU at every frame
        self.region = region and network.follows_region and self.device.type == "cpu"
        self.inject, self.flip, self.measured = inject, flip, False
        self._names = {module: name for name, module in network.named_modules()}
        self.reset()

    def reset(self) -> None:
        """Forgets all objects and frames."""
        gated = self.network.config.method != "dense"  # without gates nothing has to be compiled
        kernel = kernel_for(self.device, self.dtype) if gated else REFERENCE
        make = partial(
            Stream,
            self.network,
            self.mem_every,
            self.top_k,
            self.max_memory,
            self.dtype,
            kernel,
            self.inject,
            region=self.region,
            long_memory=self.long_memory,
        )
        self._stream = MirroredStream(make) if self.flip else make()
        self.lines = self.size
        self._found: Placed | None = None
        self._measurements: list[Tensor] = []  # confidence and counts of policies, fetched with the labels
        self._joining: dict[int, np.ndarray] = {}

    @property
    def objects(self) -> list[int]:
        """Ids of the objects that are followed."""
        return self._stream.ids

    @property
    def runs(self) -> Collection[ModuleRunner]:
        """What gated convolutions decided in the last frame, a run for each module that has gates."""
        return self._stream.runs.values()

    def add_object(self, mask: np.ndarray, id: int | None = None) -> int:
        """Follows one more object from the next frame on; a known id is corrected there.

        Args:
            mask: (H, W), not 0 where the object is in the frame that `step` gets next.
            id: 1 to 255; by default the lowest that is free.

        Returns:
            The id.

        Raises:
            ValueError: an id that cannot be had, or a mask that is empty or has another shape.
            TypeError: the mask is no array of integers or booleans.
        """
        mask = checked_mask(mask)
        taken = {*self.objects, *self._joining}
        id = next((i for i in range(1, 256) if i not in taken), 0) if id is None else id
        if not 1 <= id <= 255:
            raise ValueError("ids go from 1 to 255")
        if not np.any(mask):
            raise ValueError("the mask is empty")
        self._joining[id] = mask != 0
        return id

    def remove_object(self, *ids: int) -> None:
        """Stops following objects, and forgets all that was known of them."""
        self._measurements = []
        rows = [0, *(row for row, i in enumerate(self.objects, 1) if i not in ids)]
        if self._found is not None:
            self._found = self._found._replace(prob=self._found.prob[rows]) if len(rows) > 1 else None
        self._stream.remove(set(ids))
        for i in ids:
            self._joining.pop(i, None)

    def step(self, frame: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """Segments the next frame.

        Args:
            frame: (H, W, 3) uint8, RGB; any strides.
            mask: (H, W) ids of objects annotated in this frame, integers up to 255, 0 elsewhere. New ids
                join, known ones are corrected; without any id it says that no object is in this frame.

        Returns:
            (H, W) uint8 label map: the most probable id of each pixel, 0 the background. Annotated objects
            have exactly the pixels of their masks.

        Raises:
            ValueError: the frame or a mask has another shape, or the two differ in size.
            TypeError: they are no arrays, or of another type.
        """
        frame = checked_frame(frame)
        height, width = frame.shape[:2]
        mask = self._with_joining(None if mask is None else checked_mask(mask), height, width)
        ids = self._ids_in(mask)
        self._measurements = []
        if not ids and not self.objects:
            self._found = None
            self._stream.forget_policies()
            return np.zeros((height, width), np.uint8)
        if mask is not None and not self.objects:
            self.lines = lines_for(mask, ids, self.size) if self.region else self.size
        scale = min(1.0, self.lines / min(height, width))
        shape = (round(height * scale), round(width * scale))
        view = ArrayView(frame, *shape, self.device)
        if mask is None:
            self._found = self._stream.segment(view)
            return self._labels(view, self._found)
        given = {
            i: torch.from_numpy(resized((mask == i).astype(np.float32), shape)).to(self.device) for i in ids
        }
        self._found = self._stream.segment(view, given)
        labels = self._labels(view, self._found)
        labels = np.where(np.isin(labels, ids), 0, labels)
        return np.where(mask > 0, mask, labels).astype(np.uint8)

    @property
    def prob(self) -> Tensor | None:
        """Of the last frame: (1 + K, h, w), background and objects, at the network's size."""
        return None if self._found is None else self._found.whole()

    @property
    def confidence(self) -> dict[int, float]:
        """Of the last frame: an object's mean probability over the pixels that it holds, if any."""
        if self._found is None:
            return {}
        if self._measurements:
            table = self._measurements[0]
        else:
            table = confidence_table(*strongest(self._found.prob), len(self.objects))
        means, held = table.tolist()
        return {i: means[k] for k, i in enumerate(self.objects) if held[k]}

    @property
    def probabilities(self) -> np.ndarray:
        """Of the last frame: (K, h, w) float32, the objects' at the network's size, in the order of
        `objects`."""
        prob = self.prob
        return np.zeros((0, 1, 1), np.float32) if prob is None else prob[1:].float().cpu().numpy()

    @property
    def decisions(self) -> np.ndarray | None:
        """What gates decided in the last frame, for each of its pixels at the network's size: (h, w) uint8, 0
        skipped, 1 reused, 2 computed, 255 not looked at. None where everything was computed."""
        previous = self._stream.previous
        if previous is None or self._found is None:
            return None
        return decisions_of(self.runs, previous.window, previous.size, self._found)

    @property
    def gate_stats(self) -> GateStats:
        """What gates decided in the last frame; nothing where nothing ran."""
        tally = PolicyTally(self._names)
        if self._measurements:
            tally.add_counts(policies_of(self.runs), self._measurements[1])
        else:
            tally.add(self.runs)
        return GateStats(*tally.macs(), tally.shares())

    def can_resume(self, mask: np.ndarray | None = None) -> bool:
        """Whether `state` is all that is needed to go on, with the next frame and its mask."""
        return bool(self.objects) and self._stream.can_resume(self._ids_in(mask))

    def state(self) -> State:
        """Copies of all that a segmenter of the same network needs to go on where `can_resume` holds."""
        state = self._stream.state()
        return state._replace(facts=state.facts | {"lines": self.lines})

    def restore(self, state: State) -> None:
        """Goes on from there."""
        self.reset()
        memory_format = self.network.memory_format
        tensors = {
            name: x.to(self.device, memory_format=memory_format if x.ndim == 4 else torch.preserve_format)
            for name, x in state.tensors.items()
        }
        self.lines = state.facts["lines"]
        self._stream.restore(state._replace(tensors=tensors))

    def _ids_in(self, mask: np.ndarray | None) -> list[int]:
        """The objects that a mask says something of: without any id, all."""
        return [] if mask is None else np.unique(mask[mask > 0]).tolist() or self.objects

    def _with_joining(self, mask: np.ndarray | None, height: int, width: int) -> np.ndarray | None:
        """The mask with the objects that `add_object` got; checks that all have the frame's size."""
        for pixels in [*([] if mask is None else [mask]), *self._joining.values()]:
            same_size(pixels, height, width)
        if not self._joining:
            return mask
        mask = np.zeros((height, width), np.uint8) if mask is None else mask.copy()
        for i, pixels in self._joining.items():
            mask[pixels] = i
        self._joining = {}
        return mask

    def _labels(self, view: ArrayView, found: Placed) -> np.ndarray:
        """The most probable id of each pixel, one object's probabilities at a time: all of them at the size
        of a large frame take much memory."""
        bottom, right = (at + n for at, n in zip((found.top, found.left), found.prob.shape[1:], strict=True))
        part = view.source(found.top, bottom, found.left, right)
        height, width = (of.stop - of.start for of in part)
        best, row = strongest(_scaled(prob, height, width) for prob in found.prob)
        tensors = [row]
        if self.measured:
            small = (best, row) if best.shape == found.prob.shape[1:] else strongest(found.prob)
            table = confidence_table(*small, len(self.objects))
            tensors += [table, counts_by_row(policies_of(self.runs).values())]
        row, *self._measurements = fetched(tensors)
        labels = np.zeros(view.array.shape[:2], np.uint8)
        ids = np.zeros(256, np.uint8)
        ids[1 : 1 + len(self.objects)] = self.objects
        labels[part] = cv2.LUT(row.numpy(), ids)
        return labels


def _scaled(prob: Tensor, height: int, width: int) -> Tensor:
    """(h, w) -> (height, width)"""
    if prob.shape == (height, width):
        return prob
    return F.interpolate(prob[None, None], (height, width), mode="bilinear")[0, 0]
