"""A first mask without a mask: OpenCV's GrabCut inside a box."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np

from spvos_cli.errors import InputError
from spvos_cli.video.paint import resize_to

LONGEST_SIDE = 640  # pixels that GrabCut sees: it is slow, and the network refines nothing finer
ITERATIONS = 5


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


def object_in(image: np.ndarray, box: Box) -> np.ndarray | None:
    """(H, W) bool: the object in a box that lies in the frame (H, W, 3); None where GrabCut finds none."""
    height, width = image.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    small = resize_to(image, max(1, round(width * scale)), max(1, round(height * scale)))
    mask = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    left, top = round(box.x * scale), round(box.y * scale)
    right = max(left + 1, round((box.x + box.width) * scale))
    bottom = max(top + 1, round((box.y + box.height) * scale))
    mask[top:bottom, left:right] = cv2.GC_PR_FGD
    if (mask == cv2.GC_BGD).any():  # without any background there is nothing to tell apart
        grab_cut(small, mask)
    inside = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    found = np.asarray(cv2.morphologyEx(inside, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)))
    return resize_to(found, width, height, cv2.INTER_NEAREST).astype(bool) if found.any() else None


def grab_cut(image: np.ndarray, mask: np.ndarray) -> None:
    """GrabCut of (H, W, 3) uint8 RGB, which changes a mask (H, W) of OpenCV's GC_ values in place. OpenCV's
    random numbers are each thread's own: in one for this alone they start from a seed, and those of the
    caller stay as they are."""
    with ThreadPoolExecutor(1) as fresh:
        fresh.submit(_grab_cut, np.ascontiguousarray(image[..., ::-1]), mask).result()


def _grab_cut(bgr: np.ndarray, mask: np.ndarray) -> None:
    cv2.setRNGSeed(0)
    models, no_box = (np.zeros((1, 65)), np.zeros((1, 65))), (0, 0, 1, 1)
    cv2.grabCut(bgr, mask, no_box, *models, ITERATIONS, cv2.GC_INIT_WITH_MASK)
