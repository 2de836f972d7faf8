"""A video that is annotated: what a page, or a test, can ask and have done. It knows no web."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spvos_cli import __version__
from spvos_cli.annotate.behind import PassBehind
from spvos_cli.annotate.chain import Chain
from spvos_cli.annotate.editor import Editor, check_id
from spvos_cli.annotate.export import Exporter, Wish
from spvos_cli.annotate.follow import Follower
from spvos_cli.annotate.frame_reader import FrameReader, NoFrame
from spvos_cli.annotate.history import History
from spvos_cli.annotate.masks import MaskFolder
from spvos_cli.annotate.objects import ObjectFacts, PageView, load_objects, load_record, save_record
from spvos_cli.annotate.predictions import Predictions
from spvos_cli.annotate.worker import Refused, Worker, WorkerJob
from spvos_cli.errors import InputError
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.segment.job import is_stream, open_input, short_name
from spvos_cli.segment.options import SegmentOptions
from spvos_cli.segment.resume import input_digest
from spvos_cli.ui import Reporter
from spvos_cli.video.frames import Frame
from spvos_cli.video.grab_cut import suggest_with_grab_cut
from spvos_cli.video.object_names import NAME
from spvos_cli.video.suggest import Suggest

if TYPE_CHECKING:  # PyTorch is imported when a network is wanted
    from spvos_cli.model.network import VOSNetwork

CACHE = ".cache"  # in the folder of masks; whoever reads masks passes over hidden files
NOTHING_ANNOTATED = "no frame is annotated: drag a box around a thing first"


def check_seekable(input: str) -> None:
    """Raises InputError where an input can be read once only."""
    if is_stream(input):
        found, expected = "a stream, which is read once", "a file or a folder"
        raise InputError(input, found=found, expected=expected, fix="save it first")


class Session:
    """Masks of a video's frames, how they are changed, and what is found from them.

    The masks alone count: what is shown of other frames is what `spvos segment INPUT --mask FOLDER` finds, as
    far as it was looked for, or what it found with earlier masks.

    Args:
        input: a video file, a folder or a glob of images.
        folder: of the masks; None: NAME_annotations in the working directory.
        options, engine: as the command's; start, end and backward are the view's.
        network: that the engine's options make.
        reporter: takes remarks.
        suggest: makes masks of boxes and clicks.

    Attributes:
        frames: gives the pictures.
        version: grows whenever something changes that is shown.

    Raises:
        InputError: the input or the masks cannot be used.
    """

    def __init__(
        self,
        input: str,
        folder: Path | None,
        options: SegmentOptions,
        engine: EngineOptions,
        network: VOSNetwork,
        reporter: Reporter,
        suggest: Suggest = suggest_with_grab_cut,
    ) -> None:
        check_seekable(input)
        self.input = input
        source = open_input(input, options, reporter.note)
        self.frames, self.name = FrameReader(source), short_name(source)
        self.length, self.shape = source.count() or 1, (source.height, source.width)
        self.folder = folder or Path(f"{self.name}_annotations")
        self.masks = MaskFolder(self.folder, source, reporter.note)
        cache = self.folder / CACHE
        shape = engine.shaping() | options.shaping() | {"version": __version__, "input": input_digest(input)}
        self.digest = shape["input"][:16]
        self.chain = Chain(cache / "found", shape)
        self.predictions = Predictions(cache / "found" / "masks", self.length)
        self.history = History(cache / "history", self.shape)
        self.editor = Editor(self.masks, self.history, lambda frame: self.labels(frame)[0], suggest)
        self._objects_file, self._view_file = self.folder / NAME, cache / "session.json"
        self.objects = load_objects(self._objects_file)
        self.view = self._load_view()
        self._know_objects()
        make = partial(engine.segmenter, Reporter(quiet=True), network)
        again = partial(open_input, input, options)
        self.follower = Follower(again, make, self.masks, self.chain, self.predictions)
        self.behind = PassBehind(again, make, self.masks, cache / "found")
        self.exporter = Exporter(input, self.folder, source, options, engine, network)
        self.worker, self.version = Worker(), 0
        self._lock = threading.RLock()

    @property
    def digests(self) -> dict[int, str]:
        """Of the masks of frames between In and Out."""
        start, end = self.view.start or 0, self.view.end or self.length
        return {frame: digest for frame, digest in self.masks.digests.items() if start <= frame < end}

    def status(self) -> dict[str, Any]:
        """What is shown beside the frame; JSON's types."""
        with self._lock:
            masks, valid = self.digests, self.chain.valid(self.digests)
            return {
                "version": self.version,
                "name": self.name,
                "frames": self.length,
                "height": self.shape[0],
                "width": self.shape[1],
                "rate": float(self.frames.source.rate),
                "digest": self.digest,
                "keyframes": list(self.masks.digests),
                "first": min(masks, default=self.length),
                "valid": valid,
                "behind": self._behind(),
                "stale": self.chain.stale(masks, self.length),
                "objects": {str(i): dataclasses.asdict(self.objects[i]) for i in sorted(self.objects)},
                "view": dataclasses.asdict(self.view),
                "job": self.worker.job.status() if self.worker.job else None,
                "command": self.command(),
            }

    def command(self) -> str:
        """The command that makes what export makes."""
        return self.exporter.command(self.view)

    def frame(self, index: int) -> Frame:
        """A picture.

        Raises:
            NoFrame: there is none.
        """
        if not 0 <= index < self.length:
            raise NoFrame(index)
        return self.frames.frame(index)

    def labels(self, index: int) -> tuple[np.ndarray, str]:
        """The label map (H, W) uint8 that is shown of a frame, and what it is: "keyframe", "current", "stale"
        (found with an earlier mask), "older" (the same, past the next keyframe), or "unknown".

        Of a keyframe that is its mask, and once the frames before it are found, with the objects that are
        followed there without being in it.
        """
        digests = self.digests
        valid, mask = self.chain.valid(digests), self.masks.read(index)
        found = self.predictions.read(index)
        if mask is not None:
            kind = "keyframe"
            found = found if index in digests and index < valid else mask
        elif found is None:
            kind = "unknown"
        else:
            stale = any(start <= index < end for start, end in self.chain.stale(digests, self.length))
            kind = "stale" if stale else "current" if index < valid else "older"
        found = np.zeros(self.shape, np.uint8) if found is None else found
        if (behind := self._behind()) and index >= behind[0]:
            known = self.masks.objects_in(frame for frame in digests if frame <= index)
            found = self.behind.merge(index, found, tuple(sorted(known)))
            kind = "current" if index < behind[1] else kind
        return found, kind

    def set_view(self, view: PageView) -> None:
        """Remembers where somebody is, and from where to where frames are segmented."""
        with self._lock:
            if (view.start, view.end, view.backward) != (self.view.start, self.view.end, self.view.backward):
                self._before_change()
                self.version += 1
            self.view = view
            save_record(self._view_file, dataclasses.asdict(view))

    def set_object(self, id: int, facts: ObjectFacts | None) -> None:
        """Names, locks or hides an object, which may be a new one; with None it is removed from all masks.

        Raises:
            Refused: no object can have that id.
        """
        check_id(id)
        with self._lock:
            if facts is None:
                self._before_change()
                self.editor.remove(id)
                self.objects.pop(id, None)
            else:
                self.objects[id] = facts
            self._changed()

    def edit(self, change: Callable[[Editor, set[int]], None]) -> None:
        """Changes masks; a run that follows objects is stopped before.

        Args:
            change: gets the editor and the ids of locked objects.

        Raises:
            Refused: an export reads the masks, or the change cannot be made.
        """
        with self._lock:
            self._before_change()
            change(self.editor, {i for i, facts in self.objects.items() if facts.locked})
            self._know_objects()
            self._changed()

    def follow(self, frame: int, *, to_end: bool) -> None:
        """Finds what is not known: up to the next annotated frame after `frame`, or to the end.

        Raises:
            Refused: nothing is annotated, or another job runs.
        """
        with self._lock:
            digests, end = self.digests, self.view.end or self.length
            if not digests:
                raise Refused(NOTHING_ANNOTATED)
            stop = end if to_end else min((k for k in digests if k > frame), default=end)
            self.worker.start(WorkerJob("follow", lambda job: self.follower.run(job, digests, stop)))

    def follow_backward(self) -> None:
        """Finds what lies before the masks; from here on the command does so, too.

        Raises:
            Refused: nothing is annotated, or another job runs.
        """
        with self._lock:
            digests, start = self.digests, self.view.start or 0
            if not digests:
                raise Refused(NOTHING_ANNOTATED)
            self.worker.start(WorkerJob("backward", lambda job: self.behind.run(job, digests, start)))
            self.view = dataclasses.replace(self.view, backward=True)
            save_record(self._view_file, dataclasses.asdict(self.view))
            self.version += 1

    def export(self, wish: Wish) -> None:
        """Runs the command here.

        Raises:
            Refused: nothing is annotated, or another job runs.
        """
        with self._lock:
            if not self.masks.digests:
                raise Refused(NOTHING_ANNOTATED)
            view = self.view
            self.worker.start(WorkerJob("export", lambda job: self.exporter.run(job, view, wish)))
            self.exporter.wish = wish
            self.version += 1

    def close(self) -> None:
        """Stops what runs; all is on disk."""
        self.worker.close()
        self.frames.close()

    def _behind(self) -> tuple[int, int] | None:
        """The frames before the first annotated one, from one to before another, that something is found of;
        None where they are not wanted, or not found with the masks as they are."""
        start, digests = self.view.start or 0, self.digests
        if not self.view.backward or not digests or not self.behind.holds(digests, start):
            return None
        return start, min(digests)

    def _before_change(self) -> None:
        job = self.worker.running
        if job and job.kind == "export":
            raise Refused("an export reads the masks; Escape stops it")
        self.worker.stop()

    def _changed(self) -> None:
        self.version += 1
        save_record(self._objects_file, {str(i): dataclasses.asdict(f) for i, f in self.objects.items()})

    def _know_objects(self) -> None:
        """Objects that are in masks are in the list."""
        for i in self.masks.objects - set(self.objects):
            self.objects[i] = ObjectFacts()

    def _load_view(self) -> PageView:
        try:
            return PageView.of_record(load_record(self._view_file), self.length)
        except Refused:  # of a longer video
            return PageView()
