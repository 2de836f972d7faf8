"""From rows to jobs: everything that can be checked before the first frame is read is checked here."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from spvos_cli.batch.job_file import BadRow, Row
from spvos_cli.batch.naming import MaskFolder, fill_in, is_pattern, video_name
from spvos_cli.batch.record import Record
from spvos_cli.batch.video_job import FAILED, KEPT, VideoJob, VideoResult
from spvos_cli.errors import InputError
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.segment.job import Job, check_new, outputs_beside, prepare
from spvos_cli.segment.options import split_options
from spvos_cli.segment.pipeline import Summary
from spvos_cli.segment.uses import refuse_useless
from spvos_cli.video.writers.apart import InputIds, check_apart
from spvos_cli.video.writers.choose import Output


class Plan(NamedTuple):
    """What there is to do.

    Attributes:
        jobs: by their places among all rows.
        results: of the rows that need no run: those that are kept and those that are wrong; likewise.
    """

    jobs: dict[int, VideoJob]
    results: dict[int, VideoResult]

    @property
    def bad(self) -> list[VideoResult]:
        """What is wrong, by row."""
        return [self.results[place] for place in sorted(self.results) if self.results[place].reason]


class Checked(NamedTuple):
    """A row that is right by itself.

    Attributes:
        number: its place among all, from 1.
        outputs, beside: that its user named or that are usual, and that options make.
        kept: what an earlier run left, where that is as it would be now.
    """

    row: Row
    number: int
    video: VideoJob
    outputs: list[Output]
    beside: list[Output]
    kept: Summary | None


def make_plan(
    rows: Iterable[Row | BadRow], defaults: Mapping[str, Any], mask_dir: MaskFolder | None = None
) -> Plan:
    """Checks all rows, and finds what is as an earlier run left it.

    Args:
        rows: in order.
        defaults: options of the rows that do not say otherwise.
        mask_dir: has the masks of rows without mask, box and click.
    """
    jobs, results = dict[int, VideoJob](), dict[int, VideoResult]()
    planner, right = Planner(defaults, mask_dir), dict[int, Checked]()
    for place, row in enumerate(rows):
        if isinstance(row, BadRow):
            results[place] = VideoResult(row.where, "", FAILED, reason=row.reason)
            continue
        try:
            right[place] = planner.check(row, place + 1)
        except InputError as error:
            results[place] = _failed(row, error)
    for place, each in right.items():
        try:
            planner.check_among_others(each)
        except InputError as error:
            results[place] = _failed(each.row, error)
            continue
        if each.kept is None:
            jobs[place] = each.video
        else:
            results[place] = VideoResult(each.row.where, each.video.input, KEPT, each.kept)
    return Plan(jobs, results)


class Planner:
    """Makes jobs of rows, one after the other."""

    def __init__(self, defaults: Mapping[str, Any], mask_dir: MaskFolder | None) -> None:
        self.defaults, self.mask_dir = defaults, mask_dir
        self._claimed: dict[str, tuple[int, str]] = {}
        self._inputs = InputIds({}, {}, {})
        self._shapes: dict[EngineOptions, dict[str, Any]] = {}

    def check(self, row: Row, number: int) -> Checked:
        """A row's job, as far as it can be checked alone.

        Raises:
            InputError: something cannot be used.
        """
        values = {**self.defaults, **row.values}
        input = str(values.pop("input", ""))
        if not input:
            raise InputError(row.where, found="no input", expected="a video in each row", fix="input")
        if input == "-":
            raise InputError(row.where, found="standard input", expected="a file or a folder", fix="input")
        outputs = tuple(fill_in(str(text), input, number) for text in values.pop("output", ()))
        if "-" in outputs:
            found = "standard output, where several videos would mix"
            raise InputError("-o -", found=found, expected="files or folders", fix="-o '{name}_masks/'")
        masks = tuple(str(mask) for mask in values.pop("mask", ()))
        there = Path(input).exists() or is_pattern(input) or "://" in input  # else that is told first
        prompts = values.get("box") or values.get("click")
        if self.mask_dir and there and not masks and not prompts:
            masks = (self.mask_dir.of(input),)
        own, engine = split_options(values, EngineOptions)
        refuse_useless(input, masks, outputs, own, engine)
        free = dataclasses.replace(own, overwrite=True, resume=False)  # what is there is looked at below
        job = prepare(input, masks, outputs, free, self._shape(engine), _say_nothing, engine.weights)
        video = VideoJob(row.where, video_name(input), input, masks, outputs, own, engine, job.count_frames())
        job.source.close()
        for every, more in zip(self._inputs, job.reads().on_disk(), strict=True):
            every.update(more)
        kept = _settle(job, overwrite=own.overwrite)
        return Checked(row, number, video, job.outputs, outputs_beside(job), kept)

    def check_among_others(self, checked: Checked) -> None:
        """What a row writes is no other row's, to write or to read; when all have been checked alone.

        Raises:
            InputError: it is another's.
        """
        where = checked.row.where
        for output in [*checked.outputs, *checked.beside]:
            key = str(output.path.resolve()).casefold()  # A and a are one on many disks
            number, other = self._claimed.setdefault(key, (checked.number, where))
            if number != checked.number:
                found, fix = f"the output of {other}, too", "-o with {name}, {parent} or {number}"
                raise InputError(output.path, found=found, expected="another one for each video", fix=fix)
        check_apart(checked.outputs, self._inputs, named=bool(checked.video.outputs))
        check_apart(checked.beside, self._inputs, named=False)

    def _shape(self, engine: EngineOptions) -> dict[str, Any]:
        """Weights are read once."""
        if engine not in self._shapes:
            self._shapes[engine] = engine_shape(engine)
        return self._shapes[engine]


def engine_shape(engine: EngineOptions) -> dict[str, Any]:
    """What the outputs depend on of the network and its options.

    Raises:
        InputError: there are no weights.
    """
    path = engine.weights_path()
    if not path.is_file():
        raise InputError(path, found="no such file", expected="a weight file", fix="--weights")
    return engine.shaping()


def _settle(job: Job, *, overwrite: bool) -> Summary | None:
    """What an earlier run did, where there is nothing more to do.

    Args:
        overwrite: whether outputs that are there may be replaced, whoever made them.

    Raises:
        InputError: outputs are there that no earlier run of this job made, or that were changed since.
    """
    record = Record(job)
    if summary := record.kept():
        return summary
    if not overwrite:
        check_new(job, record.is_own)
        if changed := record.changed():
            found, expected = "it was changed after spvos wrote it", "what the earlier run left"
            raise InputError(changed, found=found, expected=expected, fix="--overwrite, or -o OUT")
    return None


def _failed(row: Row, error: InputError) -> VideoResult:
    return VideoResult(row.where, str(row.values.get("input", "")), FAILED, reason=str(error))


def _say_nothing(text: str) -> None:
    """What is said of a video is said when it is run."""
