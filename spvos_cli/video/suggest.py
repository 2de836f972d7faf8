"""What people say about an object in a frame, a box and clicks, and what makes a mask of that."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from spvos_cli.errors import InputError
from spvos_cli.video.boxes import Box, clip_box
from spvos_cli.video.moments import Moment, split_moment


class Click(NamedTuple):
    """A pixel of a frame that belongs to an object, or does not."""

    x: int
    y: int
    positive: bool = True


class Prompts(NamedTuple):
    """What was said about an object in a frame; where clicks disagree, the last one holds."""

    box: Box | None = None
    clicks: tuple[Click, ...] = ()

    def with_click(self, click: Click) -> Prompts:
        """With one more click."""
        return self._replace(clicks=(*self.clicks, click))

    def within(self, width: int, height: int) -> Prompts:
        """As far as it lies in a frame.

        Raises:
            InputError: a box or a click does not.
        """
        for x, y, _ in self.clicks:
            if not (0 <= x < width and 0 <= y < height):
                expected = f"a pixel of {width}x{height}"
                raise InputError(
                    f"--click {x},{y}", found="it lies outside of the frame", expected=expected, fix="--click"
                )
        return self._replace(box=self.box and clip_box(self.box, width, height))

    def record(self) -> dict[str, Any]:
        """In JSON's types."""
        return self._asdict()

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> Prompts:
        """The inverse of `record`."""
        clicks = tuple(Click(*click) for click in record["clicks"])
        return cls(Box(*record["box"]) if record["box"] else None, clicks)


# (frame (H, W, 3) uint8 RGB, what was said, the object's mask so far (H, W) bool) -> its mask (H, W) bool,
# which is empty where no object is found
Suggest = Callable[[np.ndarray, Prompts, np.ndarray], np.ndarray]


def suggest_in_turn(
    suggest: Suggest, frame: np.ndarray, prompts: Prompts, previous: np.ndarray
) -> np.ndarray:
    """What comes of saying the box, and then one click after the other."""
    mask = previous
    if prompts.box is not None:
        mask = suggest_or_box(suggest, frame, Prompts(prompts.box), np.zeros_like(previous))
    for count in range(1, len(prompts.clicks) + 1):
        mask = suggest_or_box(suggest, frame, prompts._replace(clicks=prompts.clicks[:count]), mask)
    return mask


def suggest_or_box(suggest: Suggest, frame: np.ndarray, prompts: Prompts, previous: np.ndarray) -> np.ndarray:
    """A suggestion; the whole box where nothing tells the object in it from its surroundings."""
    found = suggest(frame, prompts, previous)
    if prompts.box is not None and not found.any():
        box = clip_box(prompts.box, frame.shape[1], frame.shape[0])
        found = np.zeros(frame.shape[:2], bool)
        found[box.y : box.y + box.height, box.x : box.x + box.width] = True
    return found


def parse_click(text: str) -> tuple[int | None, Moment, Click]:
    """[ID=][FRAME:]X,Y[+|-]: the object, None where none is named, the moment and the click.

    Raises:
        InputError: it is none.
    """
    named = re.fullmatch(r"(?:(\d+)=)?(.+)", text.replace(" ", ""))
    moment, place = split_moment(named[2]) if named else (Moment(0), "")
    match = re.fullmatch(r"(\d+),(\d+)([+-]?)", place)
    if not named or not match or named[1] in ("0", "00", "000"):
        expected, fix = "X,Y in pixels, then + or -", "--click [ID=][FRAME:]X,Y[+|-]"
        raise InputError(f"--click {text}", found="no click", expected=expected, fix=fix)
    number = int(named[1]) if named[1] else None
    return number, moment, Click(int(match[1]), int(match[2]), match[3] != "-")
