"""CUDA graphs: all that PyTorch asks of a GPU in one call of a part of a network is kept, and asked for again
at once. Most of a small network's frame goes by while Python starts some three hundred kernels."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from spvos_cli.model.network import VOSNetwork

CALLS = 8  # with tensors of the same shapes, until they are taken for the usual ones
GRAPHS = 8  # of each part that are kept
log = logging.getLogger(__name__)
Function = Callable[..., Any]  # of tensors, tuples of such, and what else decides what is done with them


class Recorder(Protocol):
    """Keeps what a function asks of a device."""

    def record(self, function: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        """What the function gives, with nothing in it yet, and what computes all of that in its place.

        Raises:
            RuntimeError: the function waits for the device, or does what else cannot be kept.
        """


class CUDARecorder:
    """With CUDA graphs, which share their memory: what one computes has to be copied before another runs."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.pool = device, torch.cuda.graph_pool_handle()

    def record(self, function: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        """As in `Recorder`."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self.device), torch.cuda.graph(graph, pool=self.pool):
            result = function()
        return result, graph.replay


class Recording(NamedTuple):
    """Attributes: arguments and result of the recorded call, whose tensors stay where they are in memory;
    replay: computes the one from the other."""

    arguments: Any
    result: Any
    replay: Callable[[], None]


class Replayed:
    """A function that is recorded for shapes that come often, and gives what it would give.

    Args:
        function: changes none of its arguments.
        plain: arguments for which it is called as it is; None: none.
    """

    def __init__(
        self, function: Function, recorder: Recorder, plain: Callable[..., bool] | None = None
    ) -> None:
        self.function, self.recorder, self.plain = function, recorder, plain
        self.recordings: dict[Hashable, Recording] = {}
        self._seen: Counter[Hashable] = Counter()
        self._fails = False
        self._lock = threading.Lock()  # as several segmenters may share a network

    def __call__(self, *given: Any, **options: Any) -> Any:
        arguments = given, tuple(sorted(options.items()))
        shape = described(arguments)
        plain = self.plain is not None and self.plain(*given, **options)
        if plain or self._fails or shape is None or torch.is_grad_enabled():
            return self.function(*given, **options)
        with self._lock:
            recording = self.recordings.get(shape) or self._recording(shape, arguments)
            if recording is None:
                return self.function(*given, **options)
            for kept, x in zip(tensors_in(recording.arguments), tensors_in(arguments), strict=True):
                kept.copy_(x)
            recording.replay()
            return cloned(recording.result)

    def _recording(self, shape: Hashable, arguments: Any) -> Recording | None:
        """A new one, where the shape has come often enough."""
        self._seen[shape] += 1
        if self._seen[shape] < CALLS:
            return None
        if len(self.recordings) == GRAPHS:
            oldest = next(iter(self.recordings))
            del self.recordings[oldest], self._seen[oldest]
        kept = cloned(arguments)
        try:
            result, replay = self.recorder.record(lambda: self.function(*kept[0], **dict(kept[1])))
        except RuntimeError as error:
            self._fails = True
            log.warning("no CUDA graphs, so frames take longer: %s", str(error).split("\n", 1)[0])
            return None
        self.recordings[shape] = Recording(kept, result, replay)
        return self.recordings[shape]


def counts_use(query: Any, memory: Any, *_: Any, **__: Any) -> bool:
    """Whether matching writes into the memory how much it is used."""
    return memory.usage is not None


PARTS: dict[str, Callable[..., bool] | None] = {  # of a network, and when they change an argument
    **dict.fromkeys(("encode_query", "encode_memory_step", "decode_step")),
    "match": counts_use,
}


def put_in(network: VOSNetwork, recorder: Recorder | None = None) -> None:
    """Has the parts of a network replayed wherever no gates decide about their pixels; changed in place.

    Args:
        recorder: None: that of the network's GPU.
    """
    recorder = recorder or CUDARecorder(network.device)
    for name, plain in PARTS.items():
        setattr(network, name, Replayed(getattr(network, name), recorder, plain))


def described(x: Any) -> Hashable:
    """What makes calls alike: shapes and types of tensors, and all else; None where that cannot be said."""
    if isinstance(x, Tensor):
        return tuple(x.shape), x.dtype
    if isinstance(x, tuple):
        parts = tuple(described(part) for part in x)
        return None if None in parts else (type(x), parts)
    return (x,) if x is None or isinstance(x, int | float | str) or type(x) is type(described) else None


def tensors_in(x: Any) -> Iterator[Tensor]:
    """Those of tuples within tuples, in their order."""
    if isinstance(x, Tensor):
        yield x
    elif isinstance(x, tuple):
        for part in x:
            yield from tensors_in(part)


def cloned(x: Any) -> Any:
    """The same with copies of the tensors."""
    if isinstance(x, Tensor):
        return x.clone()
    if isinstance(x, tuple):
        parts = [cloned(part) for part in x]
        return x._make(parts) if hasattr(x, "_make") else tuple(parts)
    return x
