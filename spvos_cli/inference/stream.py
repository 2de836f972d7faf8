"""The frame-by-frame memory pipeline on tensors: one frame in, the probabilities of background and objects
out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from spvos_cli.inference.background import FAR, like_squares, match_squares, merges_background
from spvos_cli.inference.distractors import drop_distractors
from spvos_cli.inference.hidden_states import HiddenStates
from spvos_cli.inference.long_memory import bank_for
from spvos_cli.inference.memory_bank import MemoryBank, MemoryFrame
from spvos_cli.inference.module_run import EncodedFrame, ModuleRun, Place
from spvos_cli.inference.previous_frame import PreviousFrame, tensors_below
from spvos_cli.inference.region import Region, Window, Windows, all_visible, cells_of
from spvos_cli.inference.views import Placed, TensorView, View, padded_size, placed, seen_through
from spvos_cli.model.encoders import Query
from spvos_cli.model.layers import aggregate, pad_to_multiple
from spvos_cli.model.matching import TopKReadout, as_rows, top_k_readout
from spvos_cli.model.network import LastFrame, Memory, VOSNetwork
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.kernels.kernel import Kernel
from spvos_cli.sparse.kernels.reference import REFERENCE
from spvos_cli.sparse.plan import runs_sparsely
from spvos_cli.sparse.run import InferenceRun, Inject, ModuleRunner

MOST_WINDOWS = 4  # about objects that are far apart
FRAME = 0  # the id under which the query encoder keeps what is the frame's and no object's
Decode = Callable[[Tensor, Query, ModuleRunner | None], Tensor]  # as `VOSNetwork.decode`


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
        max_memory: memory frames kept, as in `MemoryBank`.
        dtype: of the network's convolutions.
        kernel: the backend of gated convolutions.
        inject: as in `InferenceRun`; what one gate decides for a module it gets with the last convolution.
        runs: what runs the gated convolutions of the modules, by the letters Q, D and M, instead of an
            `InferenceRun` for each module that has gates.
        decode: from a readout (1, K, Cv, H/16, W/16) and a query to the logits (1, K, H, W), instead of the
            decoder of a network that carries no hidden states.
        read_top_k: how the memory is read, as `VOSNetwork.match` takes it.
        region: whether only a window about the objects goes through the network, where they are all to be
            seen in it.
        long_memory: pixels of frames that leave the bank which stay, as in `ModelConfig`; None: as there.
        make_bank: the memory of objects that join at one frame, from the network and those two numbers.
        module_run: runs all that follows the query encoder where one gate decides about it; None: as at test
            time.

    Attributes:
        runs: as given or made; that of a module's gate is the decoder's.
        module_run: as given or made; None where there is no such gate.
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
        *,
        runs: Mapping[str, ModuleRunner] | None = None,
        decode: Decode | None = None,
        read_top_k: TopKReadout = top_k_readout,
        region: bool = False,
        long_memory: int | None = None,
        make_bank: Callable[[VOSNetwork, int, int], MemoryBank] = bank_for,
        module_run: ModuleRun | None = None,
    ) -> None:
        self.network, self.dtype = network, dtype
        self.mem_every, self.top_k, self.max_memory = mem_every, top_k, max_memory
        self.decode = decode
        self.read_top_k, self.region = read_top_k, region
        self.groups: list[Group] = []
        self.previous: PreviousFrame | None = None
        self.since_memory = 0
        self.hidden, self.make_bank = HiddenStates(), make_bank
        self.long_memory = network.config.long_memory if long_memory is None else long_memory
        if module_run is None and network.gate is not None:
            last = cast(SparseConv2d, network.decoder.predict)
            module_run = ModuleRun(network, None if inject is None else partial(inject, last), kernel)
        self.module_run = module_run
        self.runs: Mapping[str, ModuleRunner] = (
            {part: InferenceRun(kernel, inject) for part in network.gated_parts} if runs is None else runs
        )
        if module_run is not None:
            self.runs = {**self.runs, "D": module_run}

    @property
    def ids(self) -> list[int]:
        """The objects, in the order of the probabilities' channels."""
        return [i for group in self.groups for i in group.ids]

    @torch.inference_mode()
    def step(self, image: Tensor, given: Mapping[int, Tensor] | None = None) -> Tensor:
        """Segments the next frame.

        Args:
            image: (3, H, W) in [0, 1].
            given: masks (H, W) in [0, 1] of objects annotated in this frame; new ids join, known ones are
                corrected.

        Returns:
            (1 + K, H, W): probabilities of the background and of the objects in the order of `ids`.
        """
        return self.segment(TensorView(image), given).whole()

    @torch.inference_mode()
    def segment(self, view: View, given: Mapping[int, Tensor] | None = None) -> Placed:
        """As `step`, of a frame that is only looked at as far as it must be."""
        given, previous = given or {}, self.previous
        self.forget_policies()
        self._remember_previous()
        annotated, self.since_memory = bool(given), self.since_memory + 1
        memory_frame = annotated or self.since_memory >= self.mem_every
        if memory_frame:
            self.since_memory = 0
        size = padded_size(view)
        whole: Windows = (Window.whole(*size),)
        windows = whole
        if self.region and not annotated and previous is not None and previous.size == size:
            most = 1 if self.runs else MOST_WINDOWS  # what gates keep lies in one
            windows = Region.of(previous.masks, previous.windows, *size).next_windows(most)
        prob = self._look(view, windows, given, previous, memory_frame=memory_frame)
        if windows != whole and not Region.of(prob[1:], windows, *size).is_enough():
            windows = whole
            prob = self._look(view, windows, given, previous, memory_frame=memory_frame)
        return placed(view, windows, prob)

    def _look(
        self,
        view: View,
        windows: Windows,
        given: Mapping[int, Tensor],
        previous: PreviousFrame | None,
        *,
        memory_frame: bool,
    ) -> Tensor:
        """The frame through windows: (1 + K, h, w), and what is to be remembered of it."""
        strategy, annotated = self.network.config.strategy, bool(given)
        moved = previous is not None and (previous.windows, previous.size) != (windows, padded_size(view))
        sparse = runs_sparsely(strategy, annotated=annotated, memory_frame=memory_frame)
        sparse = sparse and (self.module_run is not None or not moved)
        parts = []
        for window in windows:
            part, padding = seen_through(view, window)
            part = self.network.normalize(part.unsqueeze(0))
            parts.append(F.pad(part, padding) if any(padding) else part)
        image = parts[0] if len(parts) == 1 else torch.cat(parts, dim=3)
        image = image.to(self.dtype, memory_format=self.network.memory_format)
        query = self.network.encode_query(image, self._begin("Q", [FRAME], sparse=sparse))
        masks = torch.zeros(len(self.ids), *image.shape[2:], device=image.device)
        if set(self.ids) - set(given):
            run = self._begin("D", self.ids, sparse=sparse)
            masks = self._decode(query, run, windows, previous, view, memory_frame=memory_frame)
            if self.network.drops_distractors and previous is not None and previous.size == padded_size(view):
                drop_distractors(masks, windows, previous)
        if given:
            masks = self._annotate(masks, {i: pad_to_multiple(mask)[0] for i, mask in given.items()})
            if self.module_run is not None:
                self.module_run.remove(given)
        prob = aggregate(masks)
        self.previous = PreviousFrame(
            image, query, prob[1:], annotated, memory_frame, windows, padded_size(view)
        )
        return prob

    def revise(self, prob: Tensor) -> None:
        """Puts other probabilities in the place of those that the last frame was found to have: (1 + K, H,
        W), background and objects."""
        if self.previous is None:
            return
        view, parts = TensorView(prob[1:]), []
        for window in self.previous.windows:
            part, padding = seen_through(view, window)
            parts.append(F.pad(part, padding))
        self.previous = self.previous._replace(masks=torch.cat(parts, dim=2))

    def forget_policies(self) -> None:
        """Nothing was decided in a frame until a gate decides in it."""
        for run in self.runs.values():
            run.policies = {}

    def remove(self, ids: Collection[int]) -> None:
        """Forgets objects: their memory, their masks and what gated convolutions keep of them. An id always
        means the same object; one that is given out again begins with nothing. Without objects the stream is
        as new."""
        rows = [row for row, i in enumerate(self.ids) if i not in ids]
        if len(rows) == len(self.ids):
            return
        groups = []
        for group in self.groups:
            kept = [row for row, i in enumerate(group.ids) if i not in ids]
            if kept:
                group.bank.keep_objects(kept)
                groups.append(Group([group.ids[row] for row in kept], group.bank))
        self.groups = groups
        self.hidden.remove(ids)
        if self.previous:
            self.previous = self.previous._replace(masks=self.previous.masks[rows])
        for part, run in self.runs.items():
            if part != "Q":
                run.remove(ids)
            elif not groups:
                run.remove([FRAME])
        if not groups:
            self.previous, self.since_memory = None, 0

    def can_resume(self, given: Collection[int] = ()) -> bool:
        """Whether the next frame, and those after it, need nothing of gated convolutions: whether it is a
        memory frame and dense in all modules, and nothing that is still to be remembered is not.

        Args:
            given: ids of the objects whose masks come with that frame. Where they are all that are followed,
                nothing is decoded, and a gated decoder goes on with what it kept before.
        """
        annotated = bool(given)
        if annotated and "D" in self.runs and not set(self.ids) - set(given):
            return False
        memory_frame = annotated or self.since_memory + 1 >= self.mem_every
        if not memory_frame or not self.runs:
            return memory_frame
        strategy = self.network.config.strategy
        sparse = runs_sparsely(strategy, annotated=annotated, memory_frame=True)
        return not sparse and (strategy == "mixed" or "M" not in self.runs)

    def state(self) -> State:
        """Copies of all that a stream in the same network needs to go on with a frame that `can_resume`."""
        tensors: dict[str, Tensor] = {}
        groups = []
        for number, group in enumerate(self.groups):
            groups.append(group.ids)
            bank = group.bank.tensors()
            tensors |= {f"bank.{number}.{name}": tensor for name, tensor in bank.items()}
        facts: dict[str, Any] = {"groups": groups, "since_memory": self.since_memory, "pending": None}
        if self.hidden.states is not None:
            tensors["hidden"], facts["hidden"] = self.hidden.states.clone(), self.hidden.ids
        if self.module_run is not None:
            sight = self.module_run.sight
            tensors["areas"], facts["areas"] = sight.areas.clone(), sight.ids
        if self.previous:
            facts["pending"] = [self.previous.annotated, self.previous.memory_frame]
            tensors |= self.previous.tensors()
        return State(tensors, facts)

    def restore(self, state: State) -> None:
        """The inverse of `state`, in a stream that has seen nothing."""
        tensors, facts = state
        for number, ids in enumerate(facts["groups"]):
            bank = self.make_bank(self.network, self.max_memory, self.long_memory)
            bank.restore(tensors_below(f"bank.{number}.", tensors))
            self.groups.append(Group(ids, bank))
        self.since_memory = facts["since_memory"]
        self.hidden.put(facts.get("hidden", []), tensors.get("hidden"))
        if self.module_run is not None and "areas" in tensors:
            self.module_run.sight.put(facts["areas"], tensors["areas"])
        if facts["pending"]:
            annotated, memory_frame = facts["pending"]
            self.previous = PreviousFrame.from_tensors(
                tensors, annotated=annotated, memory_frame=memory_frame
            )

    def _begin(self, part: str, ids: list[int], *, sparse: bool) -> ModuleRunner | None:
        run = self.runs.get(part)
        if run is not None:
            run.begin(ids, sparse=sparse)
        return run

    def _decode(
        self,
        query: Query,
        run: ModuleRunner | None,
        windows: Windows,
        previous: PreviousFrame | None,
        view: View,
        *,
        memory_frame: bool,
    ) -> Tensor:
        """Each object's own probability: (K, H, W)."""
        memories = [group.bank.read() for group in self.groups]
        if previous is not None and previous.size != padded_size(view):
            memories = [memory._replace(last=None) for memory in memories]
        elif previous is not None and (previous.windows != windows or len(windows) > 1):
            before, own = (cells_of(each, query.key.device) for each in (previous.windows, windows))
            places = {"positions": before - own[0], "query_positions": own - own[0]}
            memories = [m._replace(last=m.last and m.last._replace(**places)) for m in memories]
        if self.module_run is not None:
            place, match = Place(windows[0], padded_size(view)), partial(self._match, query, memories)
            frame = EncodedFrame(query, place, previous, match, self._hidden_before(query), memory_frame)
            logits, hidden = self.module_run.decode(frame)
            self.hidden.put(self.ids, hidden)
            return logits.sigmoid()
        readout = torch.cat(self._readouts(query, memories, windows, previous, padded_size(view)), dim=1)
        if self.decode is not None:
            return self.decode(readout, query, run)[0].float().sigmoid()
        hidden = self._hidden_before(query)
        logits, hidden = self.network.decode_step(readout, query, hidden, run, memory_frame=memory_frame)
        self.hidden.put(self.ids, hidden)
        return logits[0].float().sigmoid()

    def _readouts(
        self,
        query: Query,
        memories: list[Memory],
        windows: Windows,
        previous: PreviousFrame | None,
        size: tuple[int, int],
    ) -> list[Tensor]:
        """Of each memory: (1, K, C, h, w). In whole frames, after one in which all objects were to be seen,
        squares that are far from all of their edges are matched by their mean."""
        merges = merges_background(self.network, query.key.device) and windows == (Window.whole(*size),)
        same = previous is not None and (previous.windows, previous.size) == (windows, size)
        if previous is None or not merges or not same or not all_visible(previous.masks):
            return [self.network.match(query, memory, self.top_k, self.read_top_k) for memory in memories]
        squares = like_squares(previous.masks, FAR)
        match_rows = partial(self.network.match_rows, top_k=self.top_k, read_top_k=self.read_top_k)
        return [match_squares(squares, query, memory, match_rows) for memory in memories]

    def _hidden_before(self, query: Query) -> Tensor | None:
        """The objects' hidden states, at the size of a frame."""
        height, width = query.f16.shape[2:]
        return self.hidden.of(self.ids, (height, width))

    def _match(self, query: Query, memories: list[Memory], cells: Tensor | None) -> Tensor:
        """The readout of chosen cells, (L,), or of all: (K, L, C)."""
        match = partial(self.network.match_rows, query, top_k=self.top_k, read_top_k=self.read_top_k)
        return torch.cat([match(memory, cells=cells) for memory in memories], dim=1)[0]

    def _annotate(self, masks: Tensor, given: Mapping[int, Tensor]) -> Tensor:
        """Puts annotated masks in the place of decoded ones, which yield to them elsewhere; new objects
        join. (K, H, W), K counting the new ones."""
        free = 1 - torch.stack(list(given.values())).amax(dim=0)
        merged = {i: mask * free for i, mask in zip(self.ids, masks, strict=True)} | dict(given)
        self._join_new_objects(given)
        return torch.stack([merged[i] for i in self.ids])

    def _join_new_objects(self, given: Collection[int]) -> None:
        """Objects that join at the same frame share a memory."""
        if new := [i for i in given if i not in self.ids]:
            self.groups.append(Group(new, self.make_bank(self.network, self.max_memory, self.long_memory)))

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
        hidden, query = self._hidden_before(previous.query), previous.query
        value, hidden = self.network.encode_memory_step(previous.image, query, masks, hidden, run)
        self.hidden.put(self.ids, hidden)
        key, value = as_rows(previous.query.key), as_rows(value)
        merges = merges_background(self.network, previous.masks.device)
        squares = like_squares(previous.masks) if merges else None
        for group, part in zip(
            self.groups, value.split([len(g.ids) for g in self.groups], dim=1), strict=True
        ):
            frame = MemoryFrame(key, part)
            if squares is not None:
                frame = MemoryFrame(squares.means(key), squares.means(part))
            kind = {"annotated": previous.annotated, "memory_frame": previous.memory_frame}
            group.bank.add(frame, last=LastFrame(key, part), **kind)
