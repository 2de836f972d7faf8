"""From a box and clicks to a mask by the network of clicks, which looks at a part of the frame."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from spvos_cli.inference.dense_engine import use_trunk_engine
from spvos_cli.inference.machine import choose_device, choose_dtype
from spvos_cli.model.checkpoint import load_clicks
from spvos_cli.model.clicks import ClickNetwork, Features
from spvos_cli.model.said import Extent, PlacedClick, said_maps
from spvos_cli.video.paint import resize_to
from spvos_cli.video.suggest import Prompts

LONGEST_SIDE = 352  # pixels of the part that is looked at, as the network sees it
MULTIPLE = 16
MARGIN = 0.2  # of the object's longer side, that is looked at on each side of it
STEPS = 8  # edges of the part lie on a grid of about so many lines to an object, so that it seldom changes
DOT = 0.01  # of the object's size: the radius of what a click is certain of
LEAST = 32  # pixels of the frame that the part has in width and height, if the frame has them


class Part(NamedTuple):
    """A rectangle of the frame's pixels, from the left and upper edge to before the right and lower one."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def pixels(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def holds(self, other: Part) -> bool:
        """Whether all of another lies within."""
        low = self.left <= other.left and self.top <= other.top
        return low and self.right >= other.right and self.bottom >= other.bottom


class ClickSuggest:
    """A `Suggest`; what it says depends on its arguments alone.

    Args:
        network: prepared for inference.
        dtype: of its arithmetic.
    """

    def __init__(self, network: ClickNetwork, dtype: torch.dtype) -> None:
        self.network, self.dtype = network, dtype
        self._seen: tuple[tuple[int, Part], Features] | None = None

    @torch.inference_mode()
    def __call__(self, frame: np.ndarray, prompts: Prompts, previous: np.ndarray) -> np.ndarray:
        """See `Suggest`. Where there is no mask so far the network is asked twice, the second time with its
        own answer as a mask to correct; without a box it looks at the whole frame first."""
        whole = Part(0, 0, frame.shape[1], frame.shape[0])
        if not previous.any():
            part = whole if prompts.box is None else part_of_interest(prompts, previous, whole)
            previous = self._ask(frame, prompts, previous, part)
            if not previous.any():
                return previous
        mask = self._ask(frame, prompts, previous, part_of_interest(prompts, previous, whole))
        return with_clicks(mask, prompts)

    def _ask(self, frame: np.ndarray, prompts: Prompts, previous: np.ndarray, part: Part) -> np.ndarray:
        features, (width, height) = self._features(frame, part), picture_size(part)
        said = _maps_in(prompts, previous[part.pixels], part, (width, height))
        with torch.autocast(self.network.device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits = self.network(features, torch.from_numpy(said)[None].to(self.network.device))
        prob = logits[0].float().sigmoid().cpu().numpy()
        mask = np.zeros(frame.shape[:2], bool)
        shape = part.right - part.left, part.bottom - part.top
        mask[part.pixels] = resize_to(prob, *shape, cv2.INTER_LINEAR) >= 0.5
        return mask

    def _features(self, frame: np.ndarray, part: Part) -> Features:
        """Of a part of a frame; those that were seen last are remembered, for the next click."""
        image = np.ascontiguousarray(frame[part.pixels])
        key = zlib.crc32(image.data), part
        if self._seen is None or self._seen[0] != key:
            size = picture_size(part)
            shrinks = size[0] < image.shape[1]
            small = resize_to(image, *size, cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
            pixels = torch.from_numpy(small).to(self.network.device).permute(2, 0, 1)[None]
            with torch.autocast(self.network.device.type, self.dtype, enabled=self.dtype != torch.float32):
                self._seen = key, self.network.encode(pixels / 255)
        return self._seen[1]


def with_clicks(mask: np.ndarray, prompts: Prompts) -> np.ndarray:
    """A mask (H, W) bool that holds what was clicked on, and not what was not: a dot about each click that it
    contradicts."""
    area = max(int(mask.sum()), prompts.box.width * prompts.box.height if prompts.box else 0)
    radius, drawn = max(1, round(DOT * area**0.5)), mask.astype(np.uint8)
    for x, y, positive in prompts.clicks:
        if drawn[y, x] != positive:
            cv2.circle(drawn, (x, y), radius, int(positive), -1)
    return drawn > 0


def part_of_interest(prompts: Prompts, previous: np.ndarray, whole: Part) -> Part:
    """What is looked at: the box, and the mask so far and the clicks where they lie outside, with what is
    around; a little more than needed, so that the next click seldom asks for another part."""
    about = [_bounds(previous)] if previous.any() else []
    about += [Part(x, y, x + 1, y + 1) for x, y, _ in prompts.clicks]
    if prompts.box is not None:
        x, y, width, height = prompts.box
        of_box = _widened(Part(x, y, x + width, y + height), whole)
        if all(of_box.holds(each) for each in about):
            return of_box
        about.append(Part(x, y, x + width, y + height))
    lows, highs = np.array(about)[:, :2].min(axis=0), np.array(about)[:, 2:].max(axis=0)
    step = 2 ** max(0, round(float(np.log2((highs - lows).max() / STEPS))))
    left, top = (lows // step * step).tolist()
    right, bottom = (-(-highs // step) * step).tolist()
    return _widened(Part(left, top, right, bottom), whole)


def _bounds(mask: np.ndarray) -> Part:
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return Part(x, y, x + width, y + height)


def _widened(part: Part, whole: Part) -> Part:
    """With what is around, within the frame."""
    width, height = part.right - part.left, part.bottom - part.top
    margin = MARGIN * max(width, height)
    across, down = (round(max(margin, (LEAST - length) / 2)) for length in (width, height))
    return Part(
        max(part.left - across, whole.left),
        max(part.top - down, whole.top),
        min(part.right + across, whole.right),
        min(part.bottom + down, whole.bottom),
    )


def picture_size(part: Part) -> tuple[int, int]:
    """Width and height of the picture that the network sees of a part: multiples of 16."""
    sides = part.right - part.left, part.bottom - part.top
    scale = LONGEST_SIDE / max(sides)
    width, height = (max(MULTIPLE, round(side * scale / MULTIPLE) * MULTIPLE) for side in sides)
    return width, height


def _maps_in(prompts: Prompts, previous: np.ndarray, part: Part, size: tuple[int, int]) -> np.ndarray:
    """What was said, as the network sees it; previous: (H, W) bool, the part's."""
    across, down = size[0] / (part.right - part.left), size[1] / (part.bottom - part.top)
    small = resize_to(previous.astype(np.float32), *size, cv2.INTER_LINEAR) >= 0.5
    clicks = [
        PlacedClick((x + 0.5 - part.left) * across - 0.5, (y + 0.5 - part.top) * down - 0.5, positive)
        for x, y, positive in prompts.clicks
    ]
    box = None
    if prompts.box is not None:
        x, y, width, height = prompts.box
        box = Extent(
            (x - part.left) * across,
            (y - part.top) * down,
            (x + width - part.left) * across,
            (y + height - part.top) * down,
        )
    return said_maps(small, box, clicks)


def load_suggest(
    path: Path, device: str = "auto", dtype: str = "auto", engine: str = "auto", threads: int | None = None
) -> ClickSuggest:
    """The network of a weight file, ready to be asked.

    Args:
        device, dtype, engine, threads: as in `EngineOptions`.

    Raises:
        InputError: the file holds another network, or device or arithmetic cannot be had.
    """
    place = choose_device(device)
    arithmetic = choose_dtype(dtype, place)
    with torch.random.fork_rng(devices=[]):  # a network starts with random weights
        network = load_clicks(path)
    network.requires_grad_(False).to(place)
    if engine != "torch":
        use_trunk_engine(network, place, arithmetic, threads or torch.get_num_threads())
    return ClickSuggest(network, arithmetic)
