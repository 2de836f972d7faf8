"""Boxes around objects, as people give them."""

from __future__ import annotations

import re
from typing import NamedTuple

from spvos_cli.errors import InputError


class Box(NamedTuple):
    """In pixels of the frame."""

    x: int
    y: int
    width: int
    height: int


def parse_box(text: str) -> Box:
    """X,Y,W,H.

    Raises:
        InputError: these are not four whole numbers, or there is nothing inside.
    """
    match = re.fullmatch(r"(-?\d+),(-?\d+),(\d+),(\d+)", text.replace(" ", ""))
    if not match or not int(match[3]) * int(match[4]):
        raise InputError(
            f"--box {text}",
            found="no box",
            expected="X,Y,WIDTH,HEIGHT in pixels",
            fix="--box [FRAME:]X,Y,W,H",
        )
    return Box(*map(int, match.groups()))


def clip_box(box: Box, width: int, height: int) -> Box:
    """The part of a box that lies in the frame.

    Raises:
        InputError: none of it does.
    """
    left, top = max(0, box.x), max(0, box.y)
    right, bottom = min(width, box.x + box.width), min(height, box.y + box.height)
    if right <= left or bottom <= top:
        found = "it lies outside of the frame"
        raise InputError(
            f"--box {','.join(map(str, box))}",
            found=found,
            expected=f"a box in {width}x{height}",
            fix="--box",
        )
    return Box(left, top, right - left, bottom - top)
