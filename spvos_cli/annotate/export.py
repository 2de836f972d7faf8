"""What was annotated as a command, and the same run here."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from spvos_cli.annotate.worker import Refused, Stopped, WorkerJob
from spvos_cli.option import declaration, option_names
from spvos_cli.ui import Reporter

T = TypeVar("T")
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


def command_text(input: str, folder: Path, options: Sequence[Any], wish: Wish, name: str) -> str:
    """The command that makes the same outputs, for a shell.

    Args:
        folder: of the masks.
        options: instances of the dataclasses that the command's options are made of.
        name: of the input, that outputs are named after.
    """
    words = ["spvos", "segment", input, "--mask", str(folder)]
    for each in options:
        words += typed_options(each)
    for output in wish.names(name):
        words += ["-o", output]
    return shlex.join(words)


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
        self, items: Iterable[T], total: int | None, label: str = "segmenting", rate: str = "fps"
    ) -> Generator[T, None, None]:
        self.job.total, self.job.done = total, 0
        for number, item in enumerate(items):
            if self.job.stopped:
                raise Stopped
            yield item
            self.job.step(number)
