"""All of a run that can be checked before a network is loaded."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from spvos_cli.errors import InputError
from spvos_cli.segment.backward import Spool
from spvos_cli.segment.options import SegmentOptions
from spvos_cli.segment.reach import check_reach, settle_times
from spvos_cli.segment.resume import ResumeState, StateFile, run_shape
from spvos_cli.video.annotations import Annotations
from spvos_cli.video.frames import Note, Source
from spvos_cli.video.grab_cut import suggest_with_grab_cut
from spvos_cli.video.images import ImageSource
from spvos_cli.video.moments import MOMENT, Range, split_moment
from spvos_cli.video.paint import Look
from spvos_cli.video.palettes import recolour
from spvos_cli.video.prompted import Annotation
from spvos_cli.video.reader import Input, open_source, title_of
from spvos_cli.video.suggest import Suggest
from spvos_cli.video.writers.apart import Inputs, check_apart
from spvos_cli.video.writers.choose import LONGEST_NAME, Output, check_output, parse_output
from spvos_cli.video.writers.folders import LabelFolder, PreviewFolder
from spvos_cli.video.writers.pieces import PieceVideo
from spvos_cli.video.writers.sheet import ContactSheet
from spvos_cli.video.writers.stdout import STDOUT
from spvos_cli.video.writers.videos import OverlayVideo
from spvos_cli.video.writers.writer import Setting, Writer


@dataclasses.dataclass
class Job:
    """A run that is ready to start.

    Attributes:
        input, masks, weights: as given; several images one by one are an input, too.
        outputs: as given, or the default ones.
        uses_soft: whether an output shows probabilities, which are not kept from a pass backwards.
        needs_decisions: whether an output shows what gates decided.
        state_file: where the run is saved; None where nothing of it is on disk.
        resumed: the state of the run that is continued.
    """

    input: Input
    masks: list[str]
    weights: str | Path | None
    options: SegmentOptions
    note: Note
    source: Source
    outputs: list[Output]
    annotations: Annotations
    range: Range
    look: Look
    state_file: StateFile | None = None
    resumed: ResumeState | None = None

    @property
    def uses_soft(self) -> bool:
        return not self.options.backward and any(output.writer.uses_soft for output in self.outputs)

    @property
    def needs_decisions(self) -> bool:
        return any(output.writer.needs_decisions for output in self.outputs)

    @property
    def beside(self) -> Path:
        """The folder that outputs go to, or the working directory."""
        return next((output.path.parent for output in self.outputs if output.path != STDOUT), Path())

    @property
    def preview(self) -> Output:
        """The folder of --preview."""
        return Output(self.beside / f"{short_name(self.source)}_preview", PreviewFolder)

    @property
    def is_stream(self) -> bool:
        """Whether the input can be read once only."""
        return is_stream(self.input)

    def reads(self) -> Inputs:
        """The files and folders that it reads."""
        frames = self.source.files if isinstance(self.source, ImageSource) else []
        given = [annotation.file for annotation in self.annotations.given if annotation.file]
        masks = [Path(split_moment(text)[1]) for text in self.masks]
        named = [Path(self.input)] if isinstance(self.input, str) else []
        files = [*named, *([Path(self.weights)] if self.weights else [])]
        folders = [path for path in (*named, *masks) if path.is_dir()]
        return Inputs([*frames, *given, *masks], files, folders)

    def open_again(self) -> Source:
        """The source from its start."""
        masks = [given.file for given in self.annotations.given if given.file]
        return open_input(self.input, self.options, masks=masks)

    def count_frames(self) -> int | None:
        """How many frames are to be segmented, as far as the source says; None where it does not."""
        chosen, rate, frames = self.range, self.source.rate, self.source.frames
        start, end = (
            None if m is None else m.frame if m.frame is not None else -int(-m.order * rate // 1)
            for m in (chosen.start, chosen.end)
        )
        ends = [number for number in (frames, end) if number is not None]
        if not ends:
            return None
        return len(range(start or 0, max(min(ends), start or 0), chosen.stride))

    def spool(self, stack: contextlib.ExitStack) -> Spool:
        """Where the pass backwards goes; without a state it lasts as long as the stack."""
        if self.state_file is None:
            return Spool(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "backward")
        return Spool(self.state_file.path.with_suffix(".backward"))

    def open_writers(self, stack: contextlib.ExitStack) -> list[Writer]:
        """A writer for each output; the stack closes all, whatever happens, so that what was written stays
        usable."""
        setting = Setting(self.source, self.look, self.note, self.annotations.names)
        makers: list[Callable[..., Writer]] = [partial(o.writer, o.path) for o in self.outputs]
        if self.options.preview:
            makers.append(partial(PreviewFolder, self.preview.path, every=self.options.preview))
        saved = self.resumed.facts["writers"] if self.resumed else [None] * len(makers)
        writers = []
        for make, facts in zip(makers, saved, strict=True):
            writers.append(make(setting=setting, saved=facts))
            stack.callback(writers[-1].close)
        return writers


def prepare(
    input: str | Path | Sequence[str | Path],
    masks: Sequence[str | Path],
    outputs: Sequence[str | Path],
    options: SegmentOptions,
    engine: dict[str, Any],
    note: Note,
    weights: str | Path | None = None,
    suggest: Suggest = suggest_with_grab_cut,
) -> Job:
    """Opens the source and checks what is given.

    Args:
        engine: what a continued run must share of the network and its options.
        weights: their file, which outputs may not replace.
        suggest: makes masks of boxes and clicks.

    Raises:
        InputError: something cannot be used; nothing has been written then.
    """
    if isinstance(input, str | Path):
        input = _at_home(str(input))
    else:
        input = tuple(_at_home(str(image)) for image in input)
    named_masks = [_at_home(str(mask)) for mask in masks]
    outputs = [_at_home(str(output)) for output in outputs]
    masks_in = [Path(split_moment(text)[1]) for text in named_masks]
    source = open_input(input, options, note, masks_in)
    parsed = [parse_output(text, options.format) for text in outputs] or _default_outputs(source)
    paths = [output.path for output in parsed]
    state_file = _state_file(paths, input, named_masks, options, engine)
    resumed = state_file.load() if state_file and options.resume and state_file.path.exists() else None
    _check_outputs(parsed, options, resumed=resumed is not None)
    annotations = Annotations(
        named_masks, options.boxes, source, note, clicks=options.clicks, suggest=suggest
    )
    if not annotations.given:
        expected = "the mask of each object in one frame"
        shown = input if isinstance(input, str) else Path(input[0]).parent
        fix = f"--mask MASK, --box or --click; spvos annotate {shown} makes masks by clicks"
        raise InputError(title_of(input), found="no mask given", expected=expected, fix=fix)
    palette = recolour(annotations.palette, options.colours or "", annotations.objects)
    look = Look(palette, options.overlay_alpha, options.contour)
    if options.show_names:
        look = look._replace(names=annotations.names)
    range = options.chosen().in_source(source)
    annotations.leave_out(range)
    if source.left_out and any(issubclass(output.writer, PieceVideo) for output in parsed):
        note(f"{title_of(input)}: {' and '.join(source.left_out)} in it: not in the videos that are written")
    job = Job(
        input,
        named_masks,
        weights,
        options,
        note,
        source,
        parsed,
        annotations,
        range,
        look,
        state_file,
        resumed,
    )
    _check_beside(job)
    inputs = job.reads().on_disk()
    check_apart(parsed, inputs, named=bool(outputs))
    check_apart(outputs_beside(job), inputs, named=False)
    if options.backward:
        _check_backward(job)
    again = None if job.is_stream else job.open_again
    if options.backward and again:
        job.range = settle_times(annotations, job.range, again)
    check_reach(annotations, job.range, source, again)
    return job


def _at_home(text: str) -> str:
    """A path with ~ for the home folder, which shells leave as it is behind FRAME: and =."""
    place = re.fullmatch(rf"({MOMENT}):(~.*)", text)
    before, path = (f"{place[1]}:", place[2]) if place else ("", text)
    return before + (path if Path(path).exists() else os.path.expanduser(path))


def is_stream(input: Input) -> bool:
    """Whether an input can be read once only."""
    return isinstance(input, str) and (input == "-" or ("://" in input and not Path(input).exists()))


def open_input(
    input: Input,
    options: SegmentOptions,
    note: Note = lambda text: None,
    masks: Sequence[Path] = (),
) -> Source:
    """The source that INPUT names, as the options say.

    Args:
        masks: what is given as masks, which may lie among the frames.

    Raises:
        InputError: it cannot be read, or an option is not for it.
    """
    rate = options.rate()
    source = open_source(
        input,
        allow_network=options.allow_network,
        note=note,
        track=options.track,
        sample_range=options.sample_range(),
        masks=masks,
    )
    if rate:
        source.set_rate(rate)
    return source


def short_name(source: Source) -> str:
    """A source's name, cut where names made of it would be too long for a file."""
    return os.fsdecode(os.fsencode(source.name)[: LONGEST_NAME - 30]).encode(errors="ignore").decode()


def _default_outputs(source: Source) -> list[Output]:
    name = short_name(source)
    masks, overlay = Path(f"{name}_masks"), Path(f"{name}_overlay.mp4")
    return [Output(masks, LabelFolder), Output(overlay, OverlayVideo)]


def _check_outputs(outputs: list[Output], options: SegmentOptions, *, resumed: bool) -> None:
    for output in outputs:
        check_output(output, overwrite=options.overwrite or resumed)
    paths = [str(output.path.resolve()).casefold() for output in outputs]  # A and a are one on many disks
    if len(set(paths)) < len(paths):
        raise InputError("-o", found="the same output twice", expected="each output once", fix="-o OUT")


def check_new(job: Job, replaced: Callable[[Output], bool]) -> None:
    """Whether outputs are there already, also those that nobody named.

    Args:
        replaced: which of them may be.

    Raises:
        InputError: one is that may not.
    """
    for output in [*job.outputs, *outputs_beside(job)]:
        check_output(output, overwrite=replaced(output))


def _check_beside(job: Job) -> None:
    """Files that nobody named as outputs must not be there either."""
    for output in outputs_beside(job):
        check_output(output, overwrite=job.options.overwrite or job.resumed is not None)


def outputs_beside(job: Job) -> list[Output]:
    """Those that options make and nobody named."""
    preview = [job.preview] if job.options.preview else []
    return preview + [Output(path, ContactSheet) for path in box_files(job, job.annotations.given)]


def box_files(job: Job, given: Iterable[Annotation]) -> list[Path]:
    """Where the masks of boxes and clicks go for checking, an image for each frame that has some."""
    moments = dict.fromkeys(str(g.moment) for g in given if g.prompts is not None)
    return [job.beside / f"{short_name(job.source)}_box_{moment}.png" for moment in moments]


def _check_backward(job: Job) -> None:
    """Frames are read twice, and probabilities are not kept from the pass backwards."""
    if job.is_stream:
        found, expected = "a stream, which is read once", "a file or a folder"
        raise InputError("--backward", found=found, expected=expected, fix="save it first")
    if any(output.writer.needs_soft for output in job.outputs):
        found, fix = "an output of probabilities", "-o without .soft"
        raise InputError("--backward", found=found, expected="other outputs", fix=fix)


def _state_file(
    paths: list[Path],
    input: Input,
    masks: Sequence[str | Path],
    options: SegmentOptions,
    engine: dict[str, Any],
) -> StateFile | None:
    """Beside the first output that is on disk."""
    first = next((path for path in paths if path != STDOUT), None)
    if options.resume and STDOUT in paths:
        found, expected = "standard output as an output", "outputs on disk"
        raise InputError("--resume", found=found, expected=expected, fix="-o OUT")
    if first is None:
        return None
    shape = run_shape(input, [str(mask) for mask in masks], paths, first.parent)
    return StateFile(first.with_name(first.name + ".resume"), {**shape, **engine, **options.shaping()})
