"""What is kept beside a video's outputs, so that the next run leaves alone what is as it was."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from spvos_cli.files import atomic_path, part_of
from spvos_cli.segment.job import Job, outputs_beside
from spvos_cli.segment.pipeline import Summary
from spvos_cli.video.pngs import remove_own_pngs
from spvos_cli.video.writers.choose import Output
from spvos_cli.video.writers.writer import working_path

VERSION = 1
SUFFIX = ".done"


class Record:
    """A JSON file beside the first output of a job: of what content and options it is, the outputs that are
    its own, and, when it is complete, their files with sizes and times.

    Args:
        job: that is prepared; all its outputs are on disk.
    """

    def __init__(self, job: Job) -> None:
        assert job.state_file is not None
        self.state, self.shape = job.state_file, job.state_file.shape
        self.path = self.state.path.with_suffix(SUFFIX)
        self.outputs = [*job.outputs, *outputs_beside(job)]
        self._names = [self._name(output.path) for output in self.outputs]
        self._stored = self._read()

    def is_own(self, output: Output) -> bool:
        """Whether an earlier run of such a job made what is at an output, or began to."""
        return self._name(output.path) in self._stored.get("outputs", ())

    def kept(self) -> Summary | None:
        """What an earlier run did, where it was complete and of the same content and options, and all that it
        wrote is there."""
        stored = self._stored
        if not stored.get("files") or stored["shape"] != self.shape or stored["outputs"] != self._names:
            return None
        for name, (size, _) in stored["files"].items():
            if _stamp(self._folder / name)[:1] != [size]:
                return None
        return Summary(**stored["summary"])

    def changed(self) -> Path | None:
        """A file of an earlier run that somebody has changed since."""
        for name, stamp in (self._stored.get("files") or {}).items():
            found = _stamp(self._folder / name)
            if found and found != stamp:
                return Path(self._folder, name)
        return None

    def start(self) -> None:
        """From here on the outputs are this job's own."""
        self._write({"files": None, "summary": None})

    def finish(self, summary: Summary) -> None:
        """The outputs are whole."""
        files = {self._name(file): _stamp(file) for file in self._written()}
        self._write({"files": files, "summary": summary._asdict()})

    def remove_all(self) -> None:
        """Takes away what a run that cannot be completed has written, and the record."""
        shutil.rmtree(self.state.path.with_suffix(".backward"), ignore_errors=True)
        self.state.remove()
        for file in [self.path, *self._written()]:
            file.unlink(missing_ok=True)
        for output in self.outputs:
            part_of(output.path).unlink(missing_ok=True)
            shutil.rmtree(working_path(output.path), ignore_errors=True)
            if output.folder is not None:
                remove_own_pngs(output.path, by_object=output.by_object)
                with contextlib.suppress(OSError):  # it is not empty, or another job's as well
                    output.folder.rmdir()

    @property
    def _folder(self) -> Path:
        return self.path.parent

    def _name(self, path: Path) -> str:
        """From the record's folder, so that all may move together."""
        return os.path.relpath(path, self._folder)

    def _written(self) -> Iterable[Path]:
        return (file for output in self.outputs for file in output.writer.written_at(output.path))

    def _read(self) -> dict[str, Any]:
        """Empty where there is none of today's form."""
        try:
            stored = json.loads(self.path.read_text())
            return stored if stored["version"] == VERSION else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _write(self, more: dict[str, Any]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._stored = {"version": VERSION, "shape": self.shape, "outputs": self._names, **more}
        with atomic_path(self.path) as part:
            part.write_text(json.dumps(self._stored))


def _stamp(file: Path) -> list[int]:
    """Size and time of change; empty where there is no file."""
    try:
        found = file.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]
