"""What the pixels of a mask image mean where its maker did not think of ids: which colour is the ground,
whether a photograph's alpha is the mask, what 255 stands for, whether the mask is inverted."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from spvos_cli.video.soft_edges import FLAT_SHARE, flat_pixels

CLEAR = 128  # alpha below this is background
WHITE = 250  # a grey image's only value from here on is white: one object
BLACK = 16  # a palette's entry whose channels are all at most this is black
VOID = 255  # beside small ids: pixels that its maker left undecided, as VOC and VOST do
SMALL_GREY, SMALL_INDEX = 40, 127  # ids up to these are small; grey levels set apart by hand are larger
GROUND = 0.75  # share of the border that another index than 0 must hold to be the ground
NEARLY_ALL = 0.9  # the same where there are several other colours
MOST = 0.5  # share of the picture from which on an object at all four borders is odd
FEW_COLOURS = 32  # that maps of classes have


def palette_colours(image: Image.Image) -> np.ndarray:
    """(N, 3) uint8, N up to 256: the colours of an indexed image; N is 0 where it has none."""
    return np.array(image.getpalette() or [], np.uint8).reshape(-1, 3)


def clear_entries(image: Image.Image) -> list[int]:
    """Indices of an indexed image that are transparent."""
    transparency = image.info.get("transparency")
    if isinstance(transparency, bytes):
        return [i for i, alpha in enumerate(transparency) if alpha < CLEAR]
    return [] if transparency is None else [int(transparency)]


def ground_index(values: np.ndarray, colours: np.ndarray, clear: list[int]) -> int:
    """The index of an indexed image's background, where it has no transparent one.

    0 where its colour is black, or no other of those in use is. Palettes that quantizing made begin with any
    colour: then the black one is the ground; without a black one that which holds nearly all of the border,
    if 0 is not on it.

    Args:
        values: (H, W) uint8 indices.
        colours: (N, 3) uint8.
        clear: transparent indices.
    """
    if clear:
        return clear[0]
    if not len(colours) or colours[0].max() <= BLACK:
        return 0
    used = np.flatnonzero(np.bincount(values.ravel(), minlength=256)[: len(colours)])
    black = [int(i) for i in used if colours[i].max() <= BLACK]
    if black:
        return black[0]
    border = np.bincount(border_of(values), minlength=256)
    most = int(border.argmax())
    return most if not border[0] and border[most] >= GROUND * border.sum() else 0


def ground_colour(values: np.ndarray) -> int | None:
    """The value of a picture of few flat colours, none of them black, that holds nearly all of its border."""
    found = np.unique(values)
    if not 2 <= len(found) <= FEW_COLOURS or not found[0]:
        return None
    border = border_of(values)
    most = int(found[np.argmax([(border == value).sum() for value in found])])
    return most if (border == most).mean() >= (GROUND if len(found) == 2 else NEARLY_ALL) else None


def picture_on_ground(rgb: np.ndarray, noise: int) -> np.ndarray | None:
    """What stands on the plain ground of (H, W, 3) uint8: (H, W) bool, False where a colour that holds nearly
    all of the border, give or take some levels of noise, is joined to it; None where no colour does, or
    nothing else is there."""
    border = np.stack([border_of(rgb[..., channel]) for channel in range(3)], axis=1)
    colour = np.median(border, axis=0)
    ground = np.abs(rgb - colour).max(axis=2) <= noise
    _, parts = cv2.connectedComponents(ground.view(np.uint8), connectivity=4)
    outside = np.unique(border_of(parts))
    found = ~np.isin(parts, outside[outside > 0])
    return found if border_of(ground).mean() >= GROUND and found.any() else None


def border_of(values: np.ndarray) -> np.ndarray:
    """The outermost pixels of (H, W), flat."""
    return np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])


def is_cutout(rgba: np.ndarray) -> bool:
    """Whether (H, W, 4) uint8 is a photograph cut out by its alpha: partly clear, its colours
    in no flat areas."""
    solid = rgba[..., 3] >= CLEAR
    if solid.all() or not solid.any():
        return False
    packed = rgba[..., :3].astype(np.int64) @ (1 << 16, 1 << 8, 1)
    unique, index = np.unique(np.where(solid, packed, -1), return_inverse=True)
    flat = flat_pixels(index.reshape(solid.shape))
    inner = flat_pixels(solid.astype(np.int64)) & solid  # the rim is flat in no picture
    return len(unique) > 3 and bool(inner.any()) and float(flat[inner].mean()) < FLAT_SHARE


def is_matte(values: np.ndarray) -> bool:
    """Whether grey values (H, W) have flat areas of their darkest and their brightest one alone: whatever is
    in between is the edge of one object."""
    unique, index = np.unique(values, return_inverse=True)
    index = index.reshape(values.shape)
    solid = set(np.unique(index[flat_pixels(index)]).tolist())
    return len(unique) > 2 and not unique[0] and solid == {0, len(unique) - 1}


def has_void(present: np.ndarray, *, indexed: bool) -> bool:
    """Whether 255 among the ids (N,) that a mask holds is no object: the others are small."""
    ids = present[(present > 0) & (present != VOID)]
    small = SMALL_INDEX if indexed else SMALL_GREY
    return bool(VOID in present and len(ids) and ids.max() <= small)


def looks_inverted(ids: np.ndarray) -> int | None:
    """The object that touches all four borders and covers most of (H, W) ids, if one does."""
    counts = np.bincount(ids.ravel(), minlength=256)
    counts[0] = 0
    most = int(counts.argmax())
    sides = ids[0], ids[-1], ids[:, 0], ids[:, -1]
    large = counts[most] > MOST * ids.size and counts[most] < ids.size
    return most if large and all((side == most).any() for side in sides) else None


def is_lossy(image: Image.Image) -> bool:
    """Whether the file's format changes colours."""
    return image.format in ("JPEG", "MPO", "WEBP", "AVIF", "JPEG2000")


def has_soft_edges(values: np.ndarray) -> bool:
    """Whether grey values (N,) between black and white are no ids."""
    return bool(values.size and values[-1] >= WHITE and ((values > SMALL_GREY) & (values < WHITE)).any())
