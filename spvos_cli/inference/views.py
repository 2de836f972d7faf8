"""Frames as the network sees them: scaled, padded, and only as far as a window asks for."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from spvos_cli.inference.region import Window, Windows
from spvos_cli.model.layers import Padding, padding_to_multiple


class View(Protocol):
    """A frame at the network's size, height and width in pixels."""

    @property
    def height(self) -> int: ...

    @property
    def width(self) -> int: ...

    def crop(self, top: int, left: int, bottom: int, right: int) -> Tensor:
        """(3, bottom - top, right - left), RGB in [0, 1]."""


class TensorView(NamedTuple):
    """A frame that is there already: (3, H, W), RGB in [0, 1]."""

    image: Tensor

    @property
    def height(self) -> int:
        return self.image.shape[1]

    @property
    def width(self) -> int:
        return self.image.shape[2]

    def crop(self, top: int, left: int, bottom: int, right: int) -> Tensor:
        return self.image[:, top:bottom, left:right]


class ArrayView(NamedTuple):
    """A frame (H, W, 3) uint8, RGB, of any size, of which a window costs what the window has in pixels."""

    array: np.ndarray
    height: int
    width: int
    device: torch.device

    def crop(self, top: int, left: int, bottom: int, right: int) -> Tensor:
        rows, columns = self.source(top, bottom, left, right)
        part = self.array[rows, columns]
        image = torch.from_numpy(resized(part, (bottom - top, right - left)))
        return image.to(self.device).permute(2, 0, 1) / 255

    def source(self, top: int, bottom: int, left: int, right: int) -> tuple[slice, slice]:
        """The same part in the array, to the nearest pixel."""
        down, across = self.array.shape[0] / self.height, self.array.shape[1] / self.width
        rows = slice(round(top * down), round(bottom * down))
        return rows, slice(round(left * across), round(right * across))


class Placed(NamedTuple):
    """Probabilities in a part of a frame; all of the rest is background.

    Attributes:
        prob: (1 + K, h, w), background and objects.
        top, left: where that lies in the frame, in pixels of the network's size.
        height, width: of the frame.
    """

    prob: Tensor
    top: int
    left: int
    height: int
    width: int

    def whole(self) -> Tensor:
        """(1 + K, H, W) of the whole frame."""
        if self.prob.shape[1:] == (self.height, self.width):
            return self.prob
        whole = self.prob.new_zeros(len(self.prob), self.height, self.width)
        whole[0] = 1
        height, width = self.prob.shape[1:]
        whole[:, self.top : self.top + height, self.left : self.left + width] = self.prob
        return whole


def padded_size(view: View) -> tuple[int, int]:
    """Height and width, padded to multiples of 16."""
    return view.height + -view.height % 16, view.width + -view.width % 16


def seen_through(view: View, window: Window) -> tuple[Tensor, Padding]:
    """What of a frame lies in a window: (3, h, w) without padding, and the padding that is missing then."""
    top, left, bottom, right = part = inside(view, window)
    pad_left, _, pad_top, _ = padding_to_multiple(view.height, view.width)
    missing_top, missing_left = top + pad_top - window.top, left + pad_left - window.left
    missing_right = window.width - missing_left - (right - left)
    return view.crop(*part), (
        missing_left,
        missing_right,
        missing_top,
        window.height - missing_top - (bottom - top),
    )


def inside(view: View, window: Window) -> tuple[int, int, int, int]:
    """The part of the frame without padding that a window has: top, left, bottom, right."""
    pad_left, _, pad_top, _ = padding_to_multiple(view.height, view.width)
    top, left = window.top - pad_top, window.left - pad_left
    bottom, right = min(view.height, top + window.height), min(view.width, left + window.width)
    return max(0, top), max(0, left), bottom, right


def placed(view: View, windows: Windows, prob: Tensor) -> Placed:
    """What was found in windows, side by side, without padding: where there are several, in the smallest part
    of the frame with all of them."""
    parts = prob.split([window.width for window in windows], dim=2)
    found = [_placed(view, *each) for each in zip(windows, parts, strict=True)]
    if len(found) == 1:
        return found[0]
    top, left = min(each.top for each in found), min(each.left for each in found)
    bottom, right = (
        max(getattr(each, start) + each.prob.shape[axis] for each in found)
        for start, axis in (("top", 1), ("left", 2))
    )
    canvas = prob.new_zeros(len(prob), bottom - top, right - left)
    canvas[0] = 1
    for each in found:
        down, across = each.top - top, each.left - left
        canvas[:, down : down + each.prob.shape[1], across : across + each.prob.shape[2]] = each.prob
    return Placed(canvas, top, left, view.height, view.width)


def _placed(view: View, window: Window, prob: Tensor) -> Placed:
    top, left, bottom, right = inside(view, window)
    pad_left, _, pad_top, _ = padding_to_multiple(view.height, view.width)
    down, across = top + pad_top - window.top, left + pad_left - window.left
    prob = prob[:, down : down + bottom - top, across : across + right - left]
    return Placed(prob, top, left, view.height, view.width)


def resized(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """At another (height, width), by the areas of pixels; the array itself where it has that size."""
    if image.shape[:2] == shape:
        return np.ascontiguousarray(image)
    return cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA)
