"""What users say about objects, by frame: masks, boxes and clicks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spvos_cli.errors import InputError
from spvos_cli.video.frames import Frame, Note, Source
from spvos_cli.video.grab_cut import suggest_with_grab_cut
from spvos_cli.video.mask_files import masks_of
from spvos_cli.video.mask_images import looks_inverted
from spvos_cli.video.mask_opening import fit_mask, no_object
from spvos_cli.video.masks import Mask, MaskReader
from spvos_cli.video.moments import Moment, Range, split_moment
from spvos_cli.video.object_names import names_in
from spvos_cli.video.palettes import voc_palette
from spvos_cli.video.prompted import Annotation, add_box, add_click, check_clicks, with_suggested
from spvos_cli.video.remarks import summed_up
from spvos_cli.video.small_ids import MOST_OBJECTS
from spvos_cli.video.suggest import Suggest


class Annotations:
    """Masks, boxes and clicks of one video. Masks are read once to check them, and again when their frame
    comes.

    Args:
        masks, boxes, clicks: as the options' texts.
        suggest: makes masks of boxes and clicks.

    Attributes:
        palette: (256, 3) uint8, the colours of the objects.
        names: what objects are called, by id, as far as that is given.
        given: in the order of the options.

    Raises:
        InputError: a mask, a box or a click cannot be used.
    """

    def __init__(
        self,
        masks: Sequence[str],
        boxes: Sequence[str],
        source: Source,
        note: Note = lambda text: None,
        *,
        clicks: Sequence[str] = (),
        suggest: Suggest = suggest_with_grab_cut,
    ) -> None:
        self.source, self.note, self.suggest = source, note, suggest
        self.palette = voc_palette()
        self.names = {i: name for text in masks for i, name in names_in(Path(split_moment(text)[1])).items()}
        self._labels: dict[str, int] = {}  # what names of files say -> object
        self._remarks: list[str] = []  # about single masks
        reader = MaskReader(self._remarks.append)
        found = [mask for text in masks for mask in masks_of(text, source, reader, note)]
        self.given = [
            Annotation(m.moment, m.name, m.read, None, m.file, m.label, m.one_of_many) for m in found
        ]
        self._check_masks()
        for text in summed_up(self._remarks):
            note(text)
        reader.note = lambda text: None  # all is said
        for text in boxes:
            add_box(self.given, text, source, self._next_id())
        for text in clicks:
            add_click(self.given, text, source, self._next_id)
        check_clicks(self.given)
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

    def leave_out(self, chosen: Range) -> None:
        """Of many masks in one place, those are not used whose frames are passed over; that is said."""
        out = [g for g in self.given if g.one_of_many and chosen.passes_over(g.moment)]
        if out and len(out) < len(self.given):
            self.note(f"{out[0].name}: {len(out)} masks of frames that are passed over are not used")
            self.given = [g for g in self.given if g not in out]
            self._left = list(self.given)

    def start_again(self) -> None:
        """For another pass over the video."""
        self._left = list(self.given)

    def state(self) -> list[int]:
        """What has not come yet, for `restore`."""
        return [number for number, given in enumerate(self.given) if given in self._left]

    def restore(self, state: list[int]) -> None:
        """Goes on where an earlier run with the same masks, boxes and clicks was."""
        self._left = [self.given[number] for number in state]

    def awaits(self, frame: Frame) -> bool:
        """Whether something is given for a frame, or for a time that has come."""
        return any(
            g.moment.reached(frame) if g.moment.is_time else g.moment.is_frame(frame.index)
            for g in self._left
        )

    def at(self, frame: Frame, *, backwards: bool = False) -> np.ndarray | None:
        """The mask (H, W) uint8 of a frame, where one is given; frames come in order. One without any object
        says that none is there.

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
        said = False
        for given in self.given:
            mask, ids = self._fitted(given, self.note if not said else lambda text: None)
            said = said or mask.ids.shape != ids.shape
            before = taken.get(given.moment)
            own = [int(i) for i in np.unique(ids) if i]
            if given.label is not None and mask.white and own:
                number = self._labels.setdefault(given.label, self._next_id())
                given.renamed = {1: number}
                self.names.setdefault(number, given.label)
            elif before is not None:
                given.renamed = self._named_apart(given, own, before, white=mask.white)
            known = self.objects
            given.ids = sorted({given.renamed.get(i, i) for i in own})
            new = [i for i in own if given.renamed.get(i, i) not in known]
            self.palette[[given.renamed.get(i, i) for i in new]] = mask.palette[new]
            self._say_inverted(given, ids)
            taken[given.moment] = self._on_top(given, _rename(ids, given.renamed), before)
        self._check_blanks()

    def _say_inverted(self, given: Annotation, ids: np.ndarray) -> None:
        number = looks_inverted(ids)
        if number is not None:
            share = 100 * np.mean(ids == number)
            about = f"object {number} covers {share:.0f} % and touches all four borders"
            self._remarks.append(f"{given.name}: {about}: is the mask inverted?")

    def _check_blanks(self) -> None:
        """A mask without an object says that none is there; where all are, there is nothing to follow."""
        blank = [g for g in self.given if not g.ids]
        if blank and len(blank) == len(self.given):
            raise no_object(blank[0].name)
        if blank:
            frames = ", ".join(str(g.moment) for g in blank[:5]) + (", ..." if len(blank) > 5 else "")
            self.note(f"{blank[0].name}: {len(blank)} empty masks: no object is there (frame {frames})")

    def _fitted(self, given: Annotation, note: Note = lambda text: None) -> tuple[Mask, np.ndarray]:
        """A mask as it is given, and its ids (H, W) at the frames' size."""
        if given.read is None:
            raise ValueError("a box and clicks have no mask to read")
        mask = given.read()
        return mask, fit_mask(mask.ids, self.source, given.name, note)

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

    def _next_id(self) -> int:
        number = max(self.objects, default=0) + 1
        if number > MOST_OBJECTS:
            raise InputError(
                "--mask, --box, --click",
                found="more than 255 objects",
                expected="at most 255",
                fix="several runs",
            )
        return number

    def _merged(self, due: list[Annotation], frame: Frame) -> np.ndarray:
        height, width = frame.image.shape[:2]
        merged = np.zeros((height, width), np.uint8)
        for given in due:
            if given.prompts is not None:
                merged = with_suggested(given, given.prompts, self.suggest, frame.image, merged, self.note)
                continue
            ids = _rename(self._fitted(given)[1], given.renamed)
            merged = np.where(ids > 0, ids, merged)
        return merged


def _rename(ids: np.ndarray, names: dict[int, int]) -> np.ndarray:
    """Ids with some of them replaced."""
    table = np.arange(256, dtype=np.uint8)
    table[list(names)] = list(names.values())
    return np.asarray(table[ids])
