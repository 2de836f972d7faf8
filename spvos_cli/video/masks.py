"""Reading the masks that people have: indexed, grey, black-and-white or colour images."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from spvos_cli.errors import InputError
from spvos_cli.video.palette import voc_palette

A_MASK = "an indexed PNG, or an image with one colour an object"


class Mask(NamedTuple):
    """Attributes: ids (H, W) uint8, 0 the background; palette (256, 3) uint8, the colours of the ids."""

    ids: np.ndarray
    palette: np.ndarray


def read_mask(path: Path) -> Mask:
    """Object ids of a mask image.

    Indexed images keep their ids and palette; a grey image with 0 and one other value is one object; other
    grey values are ids; colours become ids in the order of the palette where they are its colours, else in
    the order of their value.

    Raises:
        InputError: it is missing, no image, without an object, or has more than 255.
    """
    if not path.is_file():
        raise InputError(path, "no such file", A_MASK, "--mask MASK")
    try:
        with Image.open(path) as image:
            image.load()
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise InputError(path, f"not readable as an image ({error})", A_MASK, "--mask MASK") from error
    mask = _from_indexed(image) if image.mode == "P" else _from_colours(path, image)
    if not mask.ids.any():
        raise InputError(path, "no object (every pixel is background)", A_MASK, "--mask MASK")
    return mask


def fit_mask(ids: np.ndarray, height: int, width: int, path: Path) -> np.ndarray:
    """The mask at the frames' size; one of another size with the same aspect is rescaled.

    Raises:
        InputError: its aspect is another.
    """
    if ids.shape == (height, width):
        return ids
    scale = height / ids.shape[0]
    if abs(ids.shape[1] * scale - width) > max(1.0, scale):
        found = f"{ids.shape[1]}x{ids.shape[0]} pixels"
        raise InputError(path, found, f"the frames' {width}x{height}", "--mask MASK of the video's size")
    return np.array(Image.fromarray(ids).resize((width, height), Image.Resampling.NEAREST))


def _from_indexed(image: Image.Image) -> Mask:
    palette = voc_palette()
    colours = np.array(image.getpalette() or [], np.uint8).reshape(-1, 3)
    if len(colours) > 1:
        palette[: len(colours)] = colours
    return Mask(np.array(image), palette)


def _from_colours(path: Path, image: Image.Image) -> Mask:
    if image.mode in ("1", "L", "I", "I;16"):
        values = np.array(image).astype(np.int64)
        found = np.unique(values[values != 0])
        if len(found) == 1:
            return Mask((values != 0).astype(np.uint8), voc_palette())
        if len(found) and found[-1] <= 255:
            return Mask(values.astype(np.uint8), voc_palette())
    rgb = np.array(image.convert("RGB")).astype(np.int64)
    values = rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]
    return _numbered(path, values)


def _numbered(path: Path, values: np.ndarray) -> Mask:
    """Ids for packed RGB values; black is the background."""
    colours = np.unique(values[values != 0])
    if len(colours) > 255:
        raise InputError(
            path, f"{len(colours)} colours", "at most 255 objects, one colour each", "--mask MASK"
        )
    palette = voc_palette()
    packed = palette.astype(np.int64) @ (1 << 16, 1 << 8, 1)
    known = {int(colour): i for i, colour in enumerate(packed) if i}
    if all(int(colour) in known for colour in colours):
        ids = [known[int(colour)] for colour in colours]
    else:
        ids = list(range(1, len(colours) + 1))
        palette[ids] = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1)
    index = np.searchsorted(colours, values)
    return Mask(np.where(values == 0, 0, np.array([*ids, 0])[index]).astype(np.uint8), palette)
