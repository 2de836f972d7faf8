"""What was annotated as a command, and the same run here."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from spvos_cli.annotate.objects import PageView
from spvos_cli.annotate.worker import Refused, Stopped, WorkerJob
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.option import declaration, given_fields, option_names
from spvos_cli.segment.api import segment_video
from spvos_cli.segment.job import short_name
from spvos_cli.segment.options import SegmentOptions
from spvos_cli.ui import Reporter
from spvos_cli.video.frames import Source

if TYPE_CHECKING:  # PyTorch is imported when a network is wanted
    from spvos_cli.model.network import VOSNetwork

T = TypeVar("T")
# options that need no other network
BESIDE_NETWORK = {"size", "mem_every", "top_k", "max_memory", "long_memory", "reuse", "region", "flip"}
OUTPUTS = {
    "": "{}_masks",
    ".mp4": "{}_overlay.mp4",
    ".mkv": "{}_labels.mkv",
    ".mov": "{}_cutout.mov",
    ".webm": "{}_cutout.webm",
    ".json": "{}_coco.json",
    ".jsonl": "{}_records.jsonl",
    ".png": "{}_sheet.png",
    ".objects": "{}.objects",
    ".rgba": "{}.rgba",
    ".mots": "{}.mots",
    ".soft": "{}.soft",
}  # suffix -> the output's name, made of the input's


class Wish(NamedTuple):
    """What is to be exported.

    Attributes:
        suffixes: keys of `OUTPUTS`, at least one.
        overwrite: whether what is there already may be replaced.
    """

    suffixes: tuple[str, ...] = ("", ".mp4")
    overwrite: bool = False

    @classmethod
    def of_record(cls, record: Any) -> Wish:
        """From JSON that somebody sent.

        Raises:
            Refused: it names no outputs.
        """
        suffixes = record.get("outputs") if isinstance(record, dict) else None
        if (
            not isinstance(suffixes, list)
            or not suffixes
            or not all(isinstance(s, str) and s in OUTPUTS for s in suffixes)
        ):
            raise Refused(f"no outputs are chosen; expected some of {', '.join(filter(None, OUTPUTS))}")
        return cls(tuple(dict.fromkeys(suffixes)), record.get("overwrite") is True)

    def names(self, name: str) -> list[str]:
        """Of the outputs, in the working directory."""
        return [OUTPUTS[suffix].format(name) for suffix in self.suffixes]


class Exporter:
    """Runs `spvos segment` with a folder of masks.

    Args:
        input: as given.
        folder: of the masks.
        source: the input, opened.
        options, engine: as the command's; start, end and backward are the page's.
        network: that the engine's options make.

    Attributes:
        wish: what was asked for last.
    """

    def __init__(
        self,
        input: str,
        folder: Path,
        source: Source,
        options: SegmentOptions,
        engine: EngineOptions,
        network: VOSNetwork,
    ) -> None:
        self.input, self.folder, self.source, self.wish = input, folder, source, Wish()
        self.options, self.engine, self.network = options, engine, network

    def command(self, view: PageView) -> str:
        """What makes the same outputs, for a shell."""
        words = ["spvos", "segment", self.input, "--mask", str(self.folder)]
        words += typed_options(self._options(view, self.wish)) + typed_options(self.engine)
        for output in self.wish.names(short_name(self.source)):
            words += ["-o", output]
        return shlex.join(words)

    def run(self, job: WorkerJob, view: PageView, wish: Wish) -> str:
        """Makes the outputs.

        Returns:
            A line about them.

        Raises:
            InputError: masks or outputs cannot be used.
            Stopped: the job was to stop.
        """
        options, engine = self._options(view, wish), self.engine
        values = {name: getattr(options, name) for name in given_fields(options)}
        values |= {name: getattr(engine, name) for name in given_fields(engine) & BESIDE_NETWORK}
        summary = segment_video(
            self.input,
            self.folder,
            wish.names(short_name(self.source)),
            network=self.network,
            reporter=JobReporter(job),
            **values,
        )
        return f"{summary.frames} frames are in {', '.join(summary.outputs)}"

    def _options(self, view: PageView, wish: Wish) -> SegmentOptions:
        """Of the run that is asked for; frames are called by the numbers in their names."""
        start, end = (None if n is None else self.source.number(n) for n in (view.start, view.end))
        return dataclasses.replace(
            self.options, start=start, end=end, backward=view.backward, overwrite=wish.overwrite
        )


def typed_options(options: Any) -> list[str]:
    """The fields of an instance that differ from their defaults, as they are typed."""
    words = []
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value == field.default or declaration(field) is None:
            continue
        name = option_names(field)[0]
        if isinstance(value, bool):
            yes, _, no = name.partition("/")
            words.append(yes if value else no)
        else:
            words += [name, str(value)]
    return words


class JobReporter(Reporter):
    """Tells a job how far it is, and ends it where it is to stop."""

    def __init__(self, job: WorkerJob) -> None:
        super().__init__(quiet=True)
        self.job = job

    def note(self, text: str) -> None:
        self.job.notes.append(text)

    def track(
        self,
        items: Iterable[T],
        total: int | None,
        label: str = "segmenting",
        rate: str = "fps",
        done: int = 0,
    ) -> Generator[T, None, None]:
        self.job.total, self.job.done = total, done
        with contextlib.ExitStack() as stack:
            if isinstance(items, Generator):  # its thread reads a file that is closed next
                stack.callback(items.close)
            for number, item in enumerate(items, done):
                if self.job.stopped:
                    raise Stopped
                yield item
                self.job.step(number)
