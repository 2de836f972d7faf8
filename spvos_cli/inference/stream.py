"""The frame-by-frame memory pipeline on tensors: one frame in, the probabilities of background and objects
out."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from spvos_cli.inference.memory_bank import MemoryBank
from spvos_cli.model.encoders import Query
from spvos_cli.model.layers import aggregate, pad_to_multiple, unpad
from spvos_cli.model.matching import as_rows
from spvos_cli.model.network import VOSNetwork
from spvos_cli.sparse.kernels.kernel import Kernel
from spvos_cli.sparse.kernels.reference import REFERENCE
from spvos_cli.sparse.plan import runs_sparsely
from spvos_cli.sparse.run import InferenceRun, Inject


class PreviousFrame(NamedTuple):
    """The previous frame, whose memory value is computed only when another frame comes: the last one's is
    never needed."""

    image: Tensor
    query: Query
    masks: Tensor
    annotated: bool
    memory_frame: bool


class Group(NamedTuple):
    """Objects that joined at the same frame: their ids and their memory."""

    ids: list[int]
    bank: MemoryBank


class State(NamedTuple):
    """What a stream goes on from: tensors by name, and facts with JSON's types."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class Stream:
    """One video's state: memory banks, the previous frame, the schedule of memory frames. Streams share a
    network.

    Args:
        network: in evaluation mode.
        mem_every: frames from one memory frame to the next.
        top_k: affinities kept for each pixel.
        max_memory: memory frames kept besides the annotated ones.
        dtype: of the network's convolutions.
        kernel: the backend of gated convolutions.
        inject: as in `InferenceRun`.

    Attributes:
        runs: what is kept of the gated convolutions of the modules Q, D and M, as far as these have gates.
    """

    def __init__(
        self,
        network: VOSNetwork,
        mem_every: int,
        top_k: int,
        max_memory: int,
        dtype: torch.dtype = torch.float32,
        kernel: Kernel = REFERENCE,
        inject: Inject | None = None,
    ) -> None:
        self.network, self.dtype = network, dtype
        self.mem_every, self.top_k, self.max_memory = mem_every, top_k, max_memory
        self.groups: list[Group] = []
        self.previous: PreviousFrame | None = None
        self.since_memory = 0
        self.runs = {part: InferenceRun(kernel, inject) for part in network.gated_parts}

    @property
    def ids(self) -> list[int]:
        """The objects, in the order of the probabilities' channels."""
        return [i for group in self.groups for i in group.ids]

    @torch.inference_mode()
    def step(self, image: Tensor, given: dict[int, Tensor] | None = None) -> Tensor:
        """Segments the next frame.

        Args:
            image: (3, H, W) in [0, 1].
            given: masks (H, W) in [0, 1] of objects annotated in this frame; new ids join, known ones are
                corrected.

        Returns:
            (1 + K, H, W): probabilities of the background and of the objects in the order of `ids`.
        """
        given, previous = given or {}, self.previous
        self._remember_previous()
        annotated, self.since_memory = bool(given), self.since_memory + 1
        memory_frame = annotated or self.since_memory >= self.mem_every
        if memory_frame:
            self.since_memory = 0
        sparse = runs_sparsely(self.network.config.strategy, annotated=annotated, memory_frame=memory_frame)
        image, padding = pad_to_multiple(self.network.normalize(image.unsqueeze(0)))
        image = image.to(self.dtype, memory_format=self.network.memory_format)
        query = self.network.encode_query(image, self._begin("Q", [0], sparse=sparse))
        masks = torch.zeros(len(self.ids), *image.shape[2:], device=image.device)
        if set(self.ids) - set(given):
            resized = previous is not None and previous.image.shape != image.shape
            masks = self._decode(query, self._begin("D", self.ids, sparse=sparse), resized=resized)
        given = {i: pad_to_multiple(mask)[0] for i, mask in given.items()}
        prob = aggregate(self._merge(masks, given))
        self.previous = PreviousFrame(image, query, prob[1:], annotated, memory_frame)
        return unpad(prob, padding)

    def remove(self, ids: set[int]) -> None:
        """Forgets objects."""
        groups = []
        rows = [row for row, i in enumerate(self.ids) if i not in ids]
        for group in self.groups:
            kept = [row for row, i in enumerate(group.ids) if i not in ids]
            if kept:
                group.bank.keep_objects(kept)
                groups.append(Group([group.ids[row] for row in kept], group.bank))
        self.groups = groups
        if self.previous:
            self.previous = self.previous._replace(masks=self.previous.masks[rows])

    def can_resume(self, *, annotated: bool) -> bool:
        """Whether the next frame needs nothing of gated convolutions: whether it is a memory frame and
        dense, and nothing that is still to be remembered is not.

        Args:
            annotated: whether masks come with that frame.
        """
        memory_frame = annotated or self.since_memory + 1 >= self.mem_every
        if not memory_frame or not self.runs:
            return memory_frame
        strategy = self.network.config.strategy
        sparse = runs_sparsely(strategy, annotated=annotated, memory_frame=True)
        return not sparse and (strategy == "mixed" or "M" not in self.runs)

    def state(self) -> State:
        """Copies of all that a stream in the same network needs to go on with a frame that `can_resume`."""
        tensors, groups = {}, []
        for number, group in enumerate(self.groups):
            groups.append(group.ids)
            bank = group.bank.tensors()
            tensors |= {f"bank.{number}.{name}": tensor for name, tensor in bank.items()}
        facts = {"groups": groups, "since_memory": self.since_memory, "pending": None}
        if self.previous:
            facts["pending"] = [self.previous.annotated, self.previous.memory_frame]
            query = {name: x for name, x in self.previous.query._asdict().items() if isinstance(x, Tensor)}
            tensors |= {f"query.{name}": x.clone() for name, x in query.items()}
            tensors |= {"image": self.previous.image.clone(), "masks": self.previous.masks.clone()}
        return State(tensors, facts)

    def restore(self, state: State) -> None:
        """The inverse of `state`, in a stream that has seen nothing."""
        tensors, facts = state
        for number, ids in enumerate(facts["groups"]):
            bank = MemoryBank.from_tensors(self.max_memory, _below(f"bank.{number}.", tensors))
            self.groups.append(Group(ids, bank))
        self.since_memory = facts["since_memory"]
        if facts["pending"]:
            annotated, memory_frame = facts["pending"]
            query, image = Query(**_below("query.", tensors)), tensors["image"]
            self.previous = PreviousFrame(image, query, tensors["masks"], annotated, memory_frame)

    def _begin(self, part: str, ids: list[int], *, sparse: bool) -> InferenceRun | None:
        run = self.runs.get(part)
        if run is not None:
            run.begin(ids, sparse=sparse)
        return run

    def _decode(self, query: Query, run: InferenceRun | None, *, resized: bool) -> Tensor:
        """Each object's own probability: (K, H, W); `resized` where the previous frame had another size."""
        memories = [group.bank.read() for group in self.groups]
        if resized:
            memories = [memory._replace(last=None) for memory in memories]
        readouts = [self.network.match(query, memory, self.top_k) for memory in memories]
        return self._logits(torch.cat(readouts, dim=1), query, run)[0].float().sigmoid()

    def _logits(self, readout: Tensor, query: Query, run: InferenceRun | None) -> Tensor:
        """The decoder's: (1, K, H, W)."""
        return self.network.decode(readout, query, run)

    def _merge(self, masks: Tensor, given: dict[int, Tensor]) -> Tensor:
        """Puts annotated masks in the place of decoded ones; elsewhere objects yield to them."""
        if not given:
            return masks
        free = 1 - torch.stack(list(given.values())).amax(dim=0)
        merged = {i: mask * free for i, mask in zip(self.ids, masks, strict=True)} | given
        if new := [i for i in given if i not in self.ids]:
            self.groups.append(Group(new, MemoryBank(self.max_memory)))
        return torch.stack([merged[i] for i in self.ids])

    def _remember_previous(self) -> None:
        """Encodes the previous frame into the banks, where it is a memory frame or the network reads every
        frame."""
        previous, self.previous = self.previous, None
        if (
            previous is None
            or not (previous.memory_frame or self.network.reads_last_frame)
            or not self.groups
        ):
            return
        masks = previous.masks.unsqueeze(0).to(self.dtype)
        strategy = self.network.config.strategy
        sparse = runs_sparsely(strategy, annotated=previous.annotated, memory_frame=True)
        run = self._begin("M", self.ids, sparse=sparse)
        value = self.network.encode_memory(previous.image, previous.query, masks, run)
        key, value = as_rows(previous.query.key), as_rows(value)
        for group, part in zip(
            self.groups, value.split([len(g.ids) for g in self.groups], dim=1), strict=True
        ):
            group.bank.add(key, part, annotated=previous.annotated, memory_frame=previous.memory_frame)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names start so, without that start."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
