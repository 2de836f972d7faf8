"""The colours of label maps: PASCAL VOC's palette, which DAVIS uses, and people's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageColor

from spvos_cli.errors import InputError

INDEXED = "an indexed or grey PNG, or DAVIS's colours"
BRIGHT = np.array([16, 140, 240, 200], np.uint8)  # in the place of 0, 64, 128 and 192, which must differ
COLOURS = "names or #RRGGBB, one an object in the order of ids, or ID=COLOUR, with commas between"


def voc_palette() -> np.ndarray:
    """(256, 3) uint8: the bits of an id, three at a time, from the high bits of red, green and blue down."""
    palette = np.zeros((256, 3), np.uint8)
    ids: np.ndarray = np.arange(256, dtype=np.uint8)
    for bit in range(7, -1, -1):
        for channel in range(3):
            palette[:, channel] |= ((ids >> channel) & 1) << bit
        ids = ids >> 3
    return palette


def overlay_colours(palette: np.ndarray) -> np.ndarray:
    """(256, 3) uint8: the palette with brighter colours where it has DAVIS's, which are made for files and
    hide in dark pictures; what somebody chose stays."""
    voc = voc_palette()
    bright = BRIGHT[voc >> 6] + (voc & 63) // 4
    return np.where((palette == voc).all(axis=1, keepdims=True), bright, palette)


def recolour(palette: np.ndarray, colours: str, ids: list[int]) -> np.ndarray:
    """The palette with colours of the user's.

    Args:
        colours: see COLOURS.
        ids: the objects that colours without an id go to.

    Raises:
        InputError: a colour or an id that there is not.
    """
    palette, unnamed = palette.copy(), iter(ids)
    for part in filter(None, colours.split(",")):
        number, _, colour = part.rpartition("=")
        try:
            i = int(number) if number else next(unnamed, None)
            rgb = ImageColor.getrgb(colour.strip())[:3]
            if i is not None and not 1 <= i <= 255:
                raise ValueError(i)
        except ValueError as error:
            raise InputError(
                f"--colours {colours}", found=f"{part!r}", expected=COLOURS, fix="--colours"
            ) from error
        if i is not None:
            palette[i] = rgb
    return palette


def indexed_image(labels: np.ndarray, palette: np.ndarray) -> Image.Image:
    """A label map (H, W) uint8 as an image whose colours are the palette's."""
    image = Image.fromarray(labels, "P")
    image.putpalette(palette.ravel().tolist())
    return image


def pack(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) -> (...) int64, red in the high byte."""
    return rgb.astype(np.int64) @ (1 << 16, 1 << 8, 1)


def unpack(packed: np.ndarray) -> np.ndarray:
    """The inverse of `pack`."""
    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=-1)


def ids_of_colours(path: Path, rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W) uint8: places in DAVIS's palette; where all is grey, the grey values.

    Raises:
        InputError: there are other colours, whose ids would differ from frame to frame.
    """
    values, palette = pack(rgb), pack(voc_palette())
    order = np.argsort(palette)
    ids = order[np.searchsorted(palette[order], values).clip(max=255)]
    if (palette[ids] == values).all():
        return np.asarray(ids.astype(np.uint8))
    if (rgb == rgb[..., :1]).all():
        return np.asarray(rgb[..., 0])
    raise InputError(
        path, found="colours that are not DAVIS's palette", expected=INDEXED, fix="write indexed PNGs"
    )
