"""Label maps as image files: ids of objects, frame by frame, of which one may be empty."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from spvos_cli.errors import InputError
from spvos_cli.video.palettes import indexed_image, pack, voc_palette
from spvos_cli.video.pngs import save_png

INDEXED = "an indexed or grey PNG, or DAVIS's colours"
WHITE, MOST = 255, 255


def read_label_map(path: Path) -> np.ndarray:
    """VoidRule (H, W) uint8: indices and grey values as they are, colours by DAVIS's palette; white is 255.

    Raises:
        InputError: it is no image, or has values that are no ids.
    """
    try:
        with Image.open(path) as image:
            image.load()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        found = f"not readable as an image ({error})"
        raise InputError(path, found=found, expected=INDEXED, fix="write the masks again") from error
    if image.mode == "1":
        return np.array(image).astype(np.uint8) * np.uint8(WHITE)
    if image.mode in ("P", "L"):
        return np.array(image)
    if image.mode.startswith(("I", "F")):
        return _narrowed(path, np.array(image))
    return ids_of_colours(path, np.array(image.convert("RGB")))


def ids_of_colours(path: Path, rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W) uint8: places in DAVIS's palette; where all is grey, the grey values.

    Raises:
        InputError: there are other colours, whose ids would differ from frame to frame.
    """
    values, palette = pack(rgb), pack(voc_palette())
    order = np.argsort(palette)
    ids = order[np.searchsorted(palette[order], values).clip(max=MOST)]
    if (palette[ids] == values).all():
        return ids.astype(np.uint8)
    if (rgb == rgb[..., :1]).all():
        return rgb[..., 0]
    raise InputError(
        path, found="colours that are not DAVIS's palette", expected=INDEXED, fix="write indexed PNGs"
    )


def save_label_map(path: Path, labels: np.ndarray) -> None:
    """An indexed PNG in DAVIS's colours, written beside and renamed.

    Args:
        labels: ids (H, W) uint8.
    """
    save_png(indexed_image(labels, voc_palette()), path)


def _narrowed(path: Path, values: np.ndarray) -> np.ndarray:
    """Wide grey values as ids; one value alone that is none is white."""
    found = np.unique(values[values != 0])
    if len(found) == 1 and found[0] > MOST:
        return np.where(values, np.uint8(WHITE), np.uint8(0))
    if len(found) and not 0 < found[0] <= found[-1] <= MOST:
        raise InputError(
            path, found=f"the value {found[-1]}", expected=f"ids up to {MOST}", fix="write indexed PNGs"
        )
    return values.astype(np.uint8)
