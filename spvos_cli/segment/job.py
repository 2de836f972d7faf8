"""All of a run that can be checked before a network is loaded."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from spvos_cli.errors import InputError
from spvos_cli.segment.backward import Spool, resolve
from spvos_cli.segment.options import SegmentOptions
from spvos_cli.segment.resume import Saved, StateFile
from spvos_cli.video.annotations import Annotations
from spvos_cli.video.frames import Note, Source
from spvos_cli.video.images import ImageSource
from spvos_cli.video.moments import Range, split_moment
from spvos_cli.video.paint import Look
from spvos_cli.video.palettes import recoloured
from spvos_cli.video.reader import open_source
from spvos_cli.video.writers.apart import Inputs, check_apart
from spvos_cli.video.writers.choose import Output, check_output, parse_output
from spvos_cli.video.writers.folders import LabelFolder, PreviewFolder
from spvos_cli.video.writers.sheet import ContactSheet
from spvos_cli.video.writers.stdout import STDOUT
from spvos_cli.video.writers.videos import OverlayVideo
from spvos_cli.video.writers.writer import Setting, Writer


@dataclasses.dataclass
class Job:
    """A run that is ready to start.

    Attributes:
        input: as given.
        outputs: as given, or the default ones.
        needs_soft: whether an output shows probabilities.
        state: where it is saved; None where nothing of it is on disk.
        saved: of the run that is continued.
    """

    input: str
    options: SegmentOptions
    note: Note
    source: Source
    outputs: list[Output]
    annotations: Annotations
    range: Range
    look: Look
    state: StateFile | None = None
    saved: Saved | None = None

    @property
    def needs_soft(self) -> bool:
        return any(output.writer.needs_soft for output in self.outputs)

    @property
    def beside(self) -> Path:
        """The folder that outputs go to, or the working directory."""
        return next((output.path.parent for output in self.outputs if output.path != STDOUT), Path())

    @property
    def preview(self) -> Output:
        """The folder of --preview."""
        return Output(self.beside / f"{self.source.name}_preview", PreviewFolder)

    def open_again(self) -> Source:
        """The source from its start."""
        return open_source(self.input, allow_network=self.options.allow_network)

    def spool(self, stack: contextlib.ExitStack) -> Spool:
        """Where the pass backwards goes; without a state it lasts as long as the stack."""
        if self.state is None:
            return Spool(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "backward")
        return Spool(self.state.path.with_suffix(".backward"))

    def open_writers(self, stack: contextlib.ExitStack) -> list[Writer]:
        """A writer for each output; the stack closes all, whatever happens, so that what was written stays
        usable."""
        setting = Setting(self.source, self.look, self.note)
        makers = [partial(output.writer, output.path) for output in self.outputs]
        if self.options.preview:
            makers.append(partial(PreviewFolder, self.preview.path, every=self.options.preview))
        saved = self.saved.facts["writers"] if self.saved else [None] * len(makers)
        writers = []
        for make, facts in zip(makers, saved, strict=True):
            writers.append(make(setting=setting, saved=facts))
            stack.callback(writers[-1].close)
        return writers


def prepare(
    input: str | Path,
    masks: Sequence[str | Path],
    outputs: Sequence[str | Path],
    options: SegmentOptions,
    engine: dict[str, Any],
    note: Note,
) -> Job:
    """Opens the source and checks what is given.

    Args:
        engine: options of the network that a continued run must share.

    Raises:
        InputError: something cannot be used; nothing has been written then.
    """
    source = open_source(str(input), allow_network=options.allow_network, note=note)
    parsed = [parse_output(text, options.format) for text in outputs] or _default_outputs(source)
    paths = [output.path for output in parsed]
    state = _state_file(paths, input, masks, options, engine)
    saved = state.load() if state and options.resume and state.path.exists() else None
    _check_outputs(parsed, options, resumed=saved is not None)
    annotations = Annotations([str(mask) for mask in masks], options.boxes, source, note)
    if not annotations.given:
        raise InputError(
            input,
            found="no mask given",
            expected="the mask of each object in one frame",
            fix="--mask MASK or --box",
        )
    palette = recoloured(annotations.palette, options.colours or "", annotations.objects)
    look = Look(palette, options.overlay_alpha, options.contour)
    range = options.range().in_source(source)
    job = Job(str(input), options, note, source, parsed, annotations, range, look, state, saved)
    _check_beside(job)
    _check_apart(job, [str(mask) for mask in masks], engine.get("weights"), named=bool(outputs))
    if options.backward:
        _check_backward(job)
    return job


def _default_outputs(source: Source) -> list[Output]:
    masks, overlay = Path(f"{source.name}_masks"), Path(f"{source.name}_overlay.mp4")
    return [Output(masks, LabelFolder), Output(overlay, OverlayVideo)]


def _check_outputs(outputs: list[Output], options: SegmentOptions, *, resumed: bool) -> None:
    for output in outputs:
        check_output(output, overwrite=options.overwrite or resumed)
    paths = [os.path.normcase(output.path.resolve()) for output in outputs]
    if len(set(paths)) < len(paths):
        raise InputError("-o", found="the same output twice", expected="each output once", fix="-o OUT")


def _check_beside(job: Job) -> None:
    """Files that nobody named as outputs must not be there either."""
    for output in _outputs_beside(job):
        check_output(output, overwrite=job.options.overwrite or job.saved is not None)


def _outputs_beside(job: Job) -> list[Output]:
    preview = [job.preview] if job.options.preview else []
    return preview + [Output(path, ContactSheet) for path in box_files(job)]


def _check_apart(job: Job, masks: list[str], weights: str | Path | None, *, named: bool) -> None:
    """Outputs write over no input."""
    frames = job.source.files if isinstance(job.source, ImageSource) else []
    given = [annotation.file for annotation in job.annotations.given if annotation.file]
    texts = [job.input, *(split_moment(text)[1] for text in masks)]
    files = [Path(path) for path in (job.input, weights) if path]
    inputs = Inputs([*frames, *given], files, [Path(text) for text in texts if Path(text).is_dir()])
    check_apart(job.outputs, inputs, named=named)
    check_apart(_outputs_beside(job), inputs, named=False)


def box_files(job: Job) -> list[Path]:
    """Where the masks of boxes go for checking, an image for each frame that has boxes."""
    moments = dict.fromkeys(str(g.moment) for g in job.annotations.given if g.box is not None)
    return [job.beside / f"{job.source.name}_box_{moment}.png" for moment in moments]


def _check_backward(job: Job) -> None:
    """Frames are read twice, and moments in seconds must be known before the first is read."""
    if job.input == "-" or "://" in job.input:
        raise InputError(
            "--backward",
            found="a stream, which is read once",
            expected="a file or a folder",
            fix="save it first",
        )
    if job.needs_soft:
        raise InputError(
            "--backward", found="an output of probabilities", expected="other outputs", fix="-o without .soft"
        )
    moments = [job.range.start, *(given.moment for given in job.annotations.given)]
    if any(moment.is_time for moment in moments):
        source = job.open_again()
        found = resolve(moments, source)
        source.close()
        if job.range.start not in found:
            raise InputError(
                f"--start {job.range.start}",
                found="after the last frame",
                expected="an earlier one",
                fix="--start",
            )
        job.range = job.range._replace(start=found[job.range.start])
        job.annotations.move(found)
        _check_some_frame(job.annotations)


def _check_some_frame(annotations: Annotations) -> None:
    if all(given.moment.is_time for given in annotations.given):
        given = annotations.given[0]
        found = f"frame {given.moment} is beyond the end"
        raise InputError(given.name, found=found, expected="a frame of the video", fix="--mask FRAME:MASK")


def _state_file(
    paths: list[Path],
    input: str | Path,
    masks: Sequence[str | Path],
    options: SegmentOptions,
    engine: dict[str, Any],
) -> StateFile | None:
    first = next((path for path in paths if path != STDOUT), None)
    if options.resume and STDOUT in paths:
        raise InputError(
            "--resume", found="standard output as an output", expected="outputs on disk", fix="-o OUT"
        )
    if first is None:
        return None
    shape = {"input": str(input), "outputs": [str(path) for path in paths], **engine, **options.shaping()}
    shape["mask"] = [[str(mask), _digest(str(mask))] for mask in masks]
    return StateFile(first.with_name(first.name + ".resume"), shape)


def _digest(text: str) -> str:
    """Of a mask's file, so that a resumed run with another one is noticed."""
    path = Path(text.split(":", 1)[-1])
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
