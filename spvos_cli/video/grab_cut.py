"""From a box and clicks to a mask without a network: OpenCV's GrabCut."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from spvos_cli.video.boxes import Box, clip_box
from spvos_cli.video.paint import resize_to
from spvos_cli.video.suggest import Prompts

ITERATIONS = 5
LONGEST_SIDE = 320  # pixels that GrabCut sees of the part that is looked at: a click has to be answered soon
MARGIN = 0.3  # of the longer side, that is looked at around what was said
REACH = 0.12  # of the longer side, in which a click may find more of an object
DOT = 0.02  # of the longer side: the radius of what a click is certain of
ALONE = 0.25  # of the frame's short side: the reach of a click where there is no box and no mask


def suggest_with_grab_cut(frame: np.ndarray, prompts: Prompts, previous: np.ndarray) -> np.ndarray:
    """OpenCV's GrabCut: clicks are certain, the mask so far or else the box is a guess, and what is far from
    all of them is background."""
    height, width = frame.shape[:2]
    seeds = np.full((height, width), cv2.GC_BGD, np.uint8)
    box = clip_box(prompts.box, width, height) if prompts.box else None
    extent = _extent(prompts, previous, box)
    reach, dot = max(2, round(REACH * extent)), max(1, round(DOT * extent))
    for x, y, _ in prompts.clicks:
        cv2.circle(seeds, (x, y), reach, cv2.GC_PR_BGD, -1)
    if box:
        inside = cv2.GC_PR_BGD if previous.any() else cv2.GC_PR_FGD
        seeds[box.y : box.y + box.height, box.x : box.x + box.width] = inside
    elif not previous.any():
        for x, y, positive in prompts.clicks:
            cv2.circle(seeds, (x, y), round(extent / 2) * positive, cv2.GC_PR_FGD, -1)
    near = cv2.dilate(previous.view(np.uint8), np.ones((2 * dot + 1, 2 * dot + 1), np.uint8)) > 0
    seeds[near & (seeds == cv2.GC_BGD)] = cv2.GC_PR_BGD
    seeds[previous] = cv2.GC_PR_FGD
    for x, y, positive in prompts.clicks:
        cv2.circle(seeds, (x, y), dot, cv2.GC_FGD if positive else cv2.GC_BGD, -1)
    return _cut(frame, seeds, extent)


def _extent(prompts: Prompts, previous: np.ndarray, box: Box | None) -> float:
    """How large the object is, about, in pixels: the longer side of the box, or of the mask so far."""
    if box:
        return float(max(box.width, box.height))
    if previous.any():
        rows, columns = np.nonzero(previous)
        return float(max(np.ptp(rows), np.ptp(columns)) + 1)
    return float(2 * ALONE * min(previous.shape))


def _cut(frame: np.ndarray, seeds: np.ndarray, extent: float) -> np.ndarray:
    """What GrabCut makes of seeds (H, W), of which only the part about those that are open is looked at."""
    mask = np.zeros(seeds.shape, bool)
    rows, columns = np.nonzero(seeds != cv2.GC_BGD)
    if not len(rows):
        return mask
    margin = round(MARGIN * extent) + 2
    part = (
        slice(max(0, rows.min() - margin), rows.max() + margin + 1),
        slice(max(0, columns.min() - margin), columns.max() + margin + 1),
    )
    image, inside = frame[part], seeds[part]
    height, width = inside.shape
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    cut = resize_to(inside, *small, cv2.INTER_NEAREST).copy()
    if len({bool(value % 2) for value in np.unique(cut)}) == 2:  # odd values are the object's
        grab_cut(resize_to(image, *small), cut)
    found = resize_to((cut % 2).astype(np.float32), width, height, cv2.INTER_LINEAR) >= 0.5
    mask[part] = np.where(inside == cv2.GC_FGD, True, found & (inside != cv2.GC_BGD))
    return mask


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
