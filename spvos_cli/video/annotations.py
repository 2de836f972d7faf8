"""What users say about objects, by frame: masks and boxes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from spvos_cli.errors import InputError
from spvos_cli.files import images_in, natural_order
from spvos_cli.video.boxes import Box, clip_box, object_in, parse_box
from spvos_cli.video.frames import Frame, Note, Source
from spvos_cli.video.masks import MOST_OBJECTS, MaskReader, fit_mask
from spvos_cli.video.moments import Moment, split_moment
from spvos_cli.video.palettes import voc_palette


@dataclasses.dataclass
class Annotation:
    """A mask or a box.

    Attributes:
        moment: the frame that it is of.
        what: a mask's file, or a box.
        ids: the objects that it gives; renamed: a mask's own id -> the object.
    """

    moment: Moment
    what: Path | Box
    ids: list[int] = dataclasses.field(default_factory=list)
    renamed: dict[int, int] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """For messages."""
        return str(self.what) if isinstance(self.what, Path) else f"--box {','.join(map(str, self.what))}"


class Annotations:
    """Masks and boxes of one video. Masks are read once to check them, and again when their frame comes.

    Attributes:
        palette: (256, 3) uint8, the colours of the objects.
        given: in the order of the options.

    Raises:
        InputError: a mask or a box cannot be used.
    """

    def __init__(
        self, masks: Sequence[str], boxes: Sequence[str], source: Source, note: Note = lambda text: None
    ) -> None:
        self.source, self.note = source, note
        self.palette = voc_palette()
        self._reader = MaskReader(note)
        self.given = [
            Annotation(moment, path) for text in masks for moment, path in _mask_files(text, source)
        ]
        self._check_masks()
        self._reader.note = lambda text: None  # all is said
        for text in boxes:
            moment, box = split_moment(text)
            self.given.append(self._box(moment, clip_box(parse_box(box), source.width, source.height)))
        self._left = list(self.given)

    @property
    def objects(self) -> list[int]:
        """All ids, in order."""
        return sorted({i for given in self.given for i in given.ids})

    @property
    def unused(self) -> list[Annotation]:
        """Those whose frame has not come."""
        return self._left

    def move(self, moments: dict[Moment, Moment]) -> None:
        """Puts frame numbers in the place of times; what is given for a time past the end never comes."""
        for given in self.given:
            given.moment = moments.get(given.moment, given.moment)

    def start_again(self) -> None:
        """For another pass over the video."""
        self._left = list(self.given)

    def state(self) -> list[int]:
        """What has not come yet, for `restore`."""
        return [number for number, given in enumerate(self.given) if given in self._left]

    def restore(self, state: list[int]) -> None:
        """Goes on where an earlier run with the same masks and boxes was."""
        self._left = [self.given[number] for number in state]

    def awaits(self, frame: Frame) -> bool:
        """Whether something is given for a frame, or for a time that has come."""
        return any(
            g.moment.reached(frame) if g.moment.is_time else g.moment.is_frame(frame.index)
            for g in self._left
        )

    def at(self, frame: Frame, *, backwards: bool = False) -> np.ndarray | None:
        """The mask (H, W) uint8 of a frame, where one is given; frames come in order.

        Raises:
            InputError: a mask is of a frame that was passed over.
        """
        due = [g for g in self._left if g.moment.reached(frame)]
        if backwards:
            due = [g for g in due if g.moment.is_frame(frame.index)]
        self._left = [g for g in self._left if g not in due]
        for given in due:
            if not given.moment.is_time and not given.moment.is_frame(frame.index):
                expected = "one of the frames that --start, --end and --stride choose"
                raise InputError(
                    given.name,
                    found=f"frame {given.moment} is passed over",
                    expected=expected,
                    fix="--mask",
                )
        return self._merged(due, frame) if due else None

    def _check_masks(self) -> None:
        """Reads every mask, names the objects, and says what is odd about masks of one frame."""
        taken: dict[Moment, np.ndarray] = {}
        for given in self.given:
            mask = self._reader.read(given.what)
            ids = fit_mask(mask.ids, self.source.height, self.source.width, given.what, self.note)
            before = taken.get(given.moment)
            own = [int(i) for i in np.unique(ids) if i]
            if before is not None:
                given.renamed = self._named_apart(given, own, before, white=mask.white)
            known = self.objects
            given.ids = [given.renamed.get(i, i) for i in own]
            new = [i for i in own if given.renamed.get(i, i) not in known]
            self.palette[[given.renamed.get(i, i) for i in new]] = mask.palette[new]
            taken[given.moment] = self._on_top(given, _rename(ids, given.renamed), before)

    def _named_apart(
        self, given: Annotation, own: list[int], before: np.ndarray, *, white: bool
    ) -> dict[int, int]:
        """Black-and-white masks of one frame are an object each; other ids given twice are the same
        object."""
        twice = sorted(set(own) & set(np.unique(before).tolist()))
        if not twice:
            return {}
        where = f"on frame {given.moment}"
        if not white:
            self.note(f"{given.name}: id {', '.join(map(str, twice))} is given twice {where}")
            return {}
        number = self._next_id()
        self.note(f"{given.name}: black and white, the next one {where}: object {number}")
        return {1: number}

    def _on_top(self, given: Annotation, ids: np.ndarray, before: np.ndarray | None) -> np.ndarray:
        if before is None:
            return ids
        differ = int(((before > 0) & (ids > 0) & (before != ids)).sum())
        if differ:
            found = f"disagrees with an earlier mask on {differ} pixels of frame {given.moment}"
            self.note(f"{given.name}: it {found}, and holds there")
        return np.where(ids > 0, ids, before)

    def _box(self, moment: Moment, box: Box) -> Annotation:
        return Annotation(moment, box, [self._next_id()])

    def _next_id(self) -> int:
        number = max(self.objects, default=0) + 1
        if number > MOST_OBJECTS:
            raise InputError(
                "--mask, --box", found="more than 255 objects", expected="at most 255", fix="several runs"
            )
        return number

    def _merged(self, due: list[Annotation], frame: Frame) -> np.ndarray:
        height, width = frame.image.shape[:2]
        merged = np.zeros((height, width), np.uint8)
        for given in due:
            if isinstance(given.what, Path):
                ids = fit_mask(self._reader.read(given.what).ids, height, width, given.what)
                ids = _rename(ids, given.renamed)
            else:
                ids = np.where(merged == 0, self._found(given, frame), np.uint8(0))
            merged = np.where(ids > 0, ids, merged)
        return merged

    def _found(self, given: Annotation, frame: Frame) -> np.ndarray:
        box = clip_box(given.what, frame.image.shape[1], frame.image.shape[0])
        found = object_in(frame.image, box)
        if found is None:
            self.note(f"{given.name}: GrabCut tells no object from its surroundings; the whole box is taken")
            found = np.zeros(frame.image.shape[:2], bool)
            found[box.y : box.y + box.height, box.x : box.x + box.width] = True
        return found * np.uint8(given.ids[0])


def _mask_files(text: str, source: Source) -> Iterator[tuple[Moment, Path]]:
    """Of --mask [FRAME:]FILE, or of a folder whose files are named as the frames are."""
    moment, name = split_moment(text)
    path = Path(name)
    if not path.is_dir():
        yield moment, path
        return
    files = sorted(images_in(path), key=natural_order)
    if not files:
        raise InputError(
            path,
            found="a folder without images",
            expected="masks named as the frames are",
            fix="--mask FOLDER",
        )
    for file in files:
        index = source.index_of(file.stem)
        if index is None:
            found = f"{file.name} belongs to no frame"
            raise InputError(
                path,
                found=found,
                expected="masks named as the frames are, or by number",
                fix="--mask FRAME:MASK",
            )
        yield Moment(index), file


def _rename(ids: np.ndarray, names: dict[int, int]) -> np.ndarray:
    """VoidRule with some of them replaced."""
    table = np.arange(256, dtype=np.uint8)
    table[list(names)] = list(names.values())
    return table[ids]
