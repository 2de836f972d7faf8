"""Editing the masks of single frames, with undo and redo."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from spvos_cli.annotate.history import NOTHING, FrameVersion, History
from spvos_cli.annotate.masks import MOST_ID, MaskFolder
from spvos_cli.annotate.worker import Refused
from spvos_cli.video.boxes import Box
from spvos_cli.video.suggest import Click, Prompts, Suggest, suggest_or_box

Shown = Callable[[int], np.ndarray]  # frame -> the label map (H, W) that is shown of it


class Editor:
    """Changes masks; each change is on disk when the method returns.

    Args:
        masks: of the annotated frames.
        history: of their changes.
        shown: what an edit of a frame starts from.
        suggest: makes masks of boxes and clicks.
    """

    def __init__(self, masks: MaskFolder, history: History, shown: Shown, suggest: Suggest) -> None:
        self.masks, self.history, self.shown, self.suggest = masks, history, shown, suggest

    def paint(self, frame: int, ids: np.ndarray, locked: Collection[int] = ()) -> None:
        """Annotates a frame with a label map (H, W) uint8; pixels of locked objects stay as they are.

        Raises:
            Refused: there are ids that no object can have.
        """
        check_id(int(ids.max(initial=1)))
        base, prompts = self.shown(frame), self._prompts(frame)
        ids = _without_locked(ids, base, locked)
        changed = {int(i) for pair in (base, ids) for i in np.unique(pair[base != ids])}
        self._change(frame, ids, {i: said for i, said in prompts.items() if i not in changed})

    def prompt(
        self,
        frame: int,
        object: int,
        said: Mapping[str, Any],
        image: np.ndarray,
        locked: Collection[int] = (),
    ) -> None:
        """Makes an object's mask of a box or one more click.

        Args:
            said: "box": X, Y, width, height; or "click": X, Y, and whether it is "positive".
            image: of the frame, (H, W, 3) uint8.

        Raises:
            Refused: it is neither, or lies outside of the frame, or the object is locked.
        """
        check_id(object)
        if object in locked:
            raise Refused(f"object {object} is locked")
        base, prompts = self.shown(frame), self._prompts(frame)
        now = _prompts_with(prompts.get(object, Prompts()), said, base.shape)
        previous = np.zeros(base.shape, bool) if "box" in said else base == object
        found = suggest_or_box(self.suggest, image, now, previous)
        ids = np.where(found, np.uint8(object), np.where(base == object, np.uint8(0), base))
        self._change(frame, _without_locked(ids, base, locked), {**prompts, object: now})

    def accept(self, frame: int) -> None:
        """Annotates a frame with what is shown of it."""
        self._change(frame, self.shown(frame), self._prompts(frame))

    def forget(self, frame: int) -> None:
        """A frame is no longer annotated."""
        if frame in self.masks.digests:
            self._change(frame, None, {})

    def remove(self, object: int) -> None:
        """An object is in no mask any more; frames where it was alone are no longer annotated."""
        for frame in self.masks.digests:
            ids = self.masks.read(frame)
            if ids is None or not (ids == object).any():
                continue
            left = np.where(ids == object, np.uint8(0), ids)
            prompts = {i: said for i, said in self._prompts(frame).items() if i != object}
            self._change(frame, left if left.any() else None, prompts)

    def undo(self, frame: int) -> None:
        """Takes back the last change of a frame.

        Raises:
            Refused: there is none.
        """
        self._move(frame, -1, "undo")

    def redo(self, frame: int) -> None:
        """Makes a change again that was taken back.

        Raises:
            Refused: there is none.
        """
        self._move(frame, 1, "redo")

    def _move(self, frame: int, by: int, called: str) -> None:
        step = self.history.move(frame, by)
        if step is None:
            raise Refused(f"nothing to {called} in frame {frame}")
        self.masks.write(frame, step.ids)

    def _prompts(self, frame: int) -> Mapping[int, Prompts]:
        return (self.history.current(frame) or NOTHING).prompts

    def _change(self, frame: int, ids: np.ndarray | None, prompts: Mapping[int, Prompts]) -> None:
        before = FrameVersion(self.masks.read(frame))
        self.masks.write(frame, ids)
        self.history.add(frame, FrameVersion(self.masks.read(frame), prompts), before)


def check_id(id: int) -> None:
    """Raises Refused where no object can have it."""
    if not 1 <= id <= MOST_ID:
        raise Refused(f"object {id}; expected an id from 1 to {MOST_ID}")


def _without_locked(ids: np.ndarray, base: np.ndarray, locked: Collection[int]) -> np.ndarray:
    """A label map in which locked objects are where they were."""
    kept = [*locked]
    moved = np.isin(base, kept) | np.isin(ids, kept)
    return np.where(moved, base, ids) if kept else ids


def _prompts_with(prompts: Prompts, said: Mapping[str, Any], shape: tuple[int, ...]) -> Prompts:
    """With what somebody sent."""
    height, width = shape
    if "box" in said:
        x, y, w, h = _whole_numbers(said["box"], 4)
        if w < 1 or h < 1 or x >= width or y >= height or x + w <= 0 or y + h <= 0:
            raise Refused("a box outside of the frame")
        return Prompts(Box(x, y, w, h))
    x, y = _whole_numbers(said.get("click"), 2)
    if not (0 <= x < width and 0 <= y < height):
        raise Refused("a click outside of the frame")
    return prompts.with_click(Click(x, y, said.get("positive") is True))


def _whole_numbers(values: Any, count: int) -> list[int]:
    ok = isinstance(values, list) and len(values) == count
    if not ok or any(isinstance(v, bool) or not isinstance(v, int) or abs(v) > 2**20 for v in values):
        raise Refused("a box is four whole numbers, a click two")
    return list(values)
