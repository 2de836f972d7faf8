"""Where the time of a run goes: every millisecond of every thread under the name of a stage.

What runs is the product itself. While a clock is installed the functions that begin a stage are replaced by
ones that look at it; a stage's time is its own, without that of the stages that it calls.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch

MAIN, READER, WRITER = "main", "reader", "writer"  # threads; the last two have these names
TAKE = "_take"  # of the pipeline, which ends a frame in the writer's thread
REST = "without a name"  # what a frame took in the main thread beside its stages


class Place(NamedTuple):
    """A function whose time is a stage's.

    Attributes:
        stage: its name.
        owner: "module" or "module:Class" in which it is looked up.
        name: of the function there.
    """

    stage: str
    owner: str
    name: str


PLACES = (
    Place("bookkeeping", "spvos_cli.segment.pipeline:Pipeline", "_segment"),
    Place("facts", "spvos_cli.segment.tracker:Tracker", "step"),
    Place("cuts and losses", "spvos_cli.segment.events:EventDetector", "events"),
    Place("confidence", "spvos_cli.inference.segmenter:VideoSegmenter", "confidence"),
    Place("schedule", "spvos_cli.inference.segmenter:VideoSegmenter", "step"),
    Place("schedule", "spvos_cli.inference.stream:Stream", "segment"),
    Place("region", "spvos_cli.inference.region:Region", "of"),
    Place("region", "spvos_cli.inference.region:Region", "next_windows"),
    Place("scale", "spvos_cli.inference.views:ArrayView", "crop"),
    Place("normalise", "spvos_cli.inference.stream:Stream", "_look"),
    Place("encode query", "spvos_cli.model.network:VOSNetwork", "encode_query"),
    Place("match", "spvos_cli.inference.stream:Stream", "_decode"),
    Place("decode masks", "spvos_cli.model.network:VOSNetwork", "decode"),
    Place("aggregate", "spvos_cli.inference.stream", "aggregate"),
    Place("remember", "spvos_cli.inference.stream:Stream", "_remember_previous"),
    Place("label map", "spvos_cli.inference.segmenter:VideoSegmenter", "_labels"),
    Place("wait for writers", "spvos_cli.video.threads:Background", "put"),
    Place("to RGB", "spvos_cli.video.pictures:Pictures", "__call__"),
    Place("write PNG", "spvos_cli.video.writers.folders:LabelFolder", "write"),
    Place("encode overlay", "spvos_cli.video.writers.pieces:PieceVideo", "write"),
    Place("paint overlay", "spvos_cli.video.writers.videos:OverlayVideo", "image"),
    Place("to YUV", "spvos_cli.video.writers.yuv:YuvConverter", "convert"),
)


class Spent(NamedTuple):
    """Milliseconds of a stage in one frame: of the clock, and of the thread's processor."""

    ms: float
    cpu_ms: float


Frame = dict[str, Spent]  # by stage


class StageClock:
    """Measures frames, stage by stage, in all threads.

    Args:
        device: whose work is waited for at the end of each stage of the main thread.

    Attributes:
        frames: by thread, what each frame took there, in order.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._threads = threading.local()
        self.frames: dict[str, list[Frame]] = {MAIN: [], READER: [], WRITER: []}
        self._ended_at: float | None = None  # the main thread's last frame

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """While this lasts, frames that `spvos_cli.segment.pipeline` segments are measured."""
        with contextlib.ExitStack() as stack:
            for place in PLACES:
                owner = owner_of(place)
                stack.enter_context(_replaced(owner, place.name, self._timed(place.stage, owner, place.name)))
            pipeline = importlib.import_module("spvos_cli.segment.pipeline")
            stack.enter_context(_replaced(pipeline, "prefetch", self._prefetch(pipeline.prefetch)))
            take = pipeline.Pipeline.__dict__[TAKE]
            stack.enter_context(_replaced(pipeline.Pipeline, TAKE, self._ended(take)))
            yield

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts what happens in it, less the stages in it, as this stage's, in the current thread."""
        local = self._threads
        if not hasattr(local, "open"):
            local.open, local.spent = [], {}
        local.open.append([0.0, 0.0])  # of the stages in it
        start, cpu = self._now(), time.thread_time()
        try:
            yield
        finally:
            took = 1e3 * (self._now() - start), 1e3 * (time.thread_time() - cpu)
            within = local.open.pop()
            if local.open:
                local.open[-1] = [a + b for a, b in zip(local.open[-1], took, strict=True)]
            before = local.spent.get(name, Spent(0.0, 0.0))
            local.spent[name] = Spent(*(b + t - w for b, t, w in zip(before, took, within, strict=True)))

    def end_frame(self) -> None:
        """What was counted in the current thread since the last time was one frame's."""
        name, spent = threading.current_thread().name, getattr(self._threads, "spent", {})
        self._threads.spent = {}
        if name in (READER, WRITER):
            self.frames[name].append(spent)
            return
        now, before = time.perf_counter(), self._ended_at
        if before is not None:
            spent[REST] = Spent(1e3 * (now - before) - sum(stage.ms for stage in spent.values()), 0.0)
        self._ended_at = now
        self.frames[MAIN].append(spent)

    def _now(self) -> float:
        if self._device.type == "cuda" and threading.current_thread().name not in (READER, WRITER):
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def _timed(self, stage: str, owner: Any, name: str) -> Any:
        """The attribute that takes an attribute's place: a function, a class method or a property."""
        found = owner.__dict__[name]
        if isinstance(found, property):
            assert found.fget is not None
            return property(self._call(stage, found.fget))
        if isinstance(found, classmethod):
            return classmethod(self._call(stage, found.__func__))
        return self._call(stage, found)

    def _call(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            with self.stage(stage):
                return function(*arguments, **keywords)

        return call

    def _ended(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> None:
            with self.stage("bookkeeping"):
                function(*arguments)
            self.end_frame()

        return call

    def _prefetch(self, prefetch: Callable[..., Any]) -> Callable[..., Any]:
        def call(items: Iterable[Any], depth: int) -> Iterator[Any]:
            yield from self._each("wait for reader", prefetch(self._each("decode video", items), depth))

        return call

    def _each(self, stage: str, items: Iterable[Any]) -> Iterator[Any]:
        """The items; to get one is the stage, and what the thread does with it ends the frame."""
        iterator, end = iter(items), object()
        while True:
            with self.stage(stage):
                item = next(iterator, end)
            if item is end:
                return
            if threading.current_thread().name == READER:
                self.end_frame()
            yield item
            if threading.current_thread().name != READER:
                self.end_frame()


def owner_of(place: Place) -> Any:
    """The module or class in which a place's function is looked up."""
    module, _, name = place.owner.partition(":")
    found = importlib.import_module(module)
    return getattr(found, name) if name else found


@contextlib.contextmanager
def _replaced(owner: Any, name: str, new: Any) -> Iterator[None]:
    before = owner.__dict__[name]
    setattr(owner, name, new)
    try:
        yield
    finally:
        setattr(owner, name, before)
