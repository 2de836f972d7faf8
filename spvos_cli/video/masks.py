"""Reading the masks that people have: indexed, grey, black-and-white or colour images."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.video.frames import Note, check_size, same_aspect
from spvos_cli.video.images import UNREADABLE
from spvos_cli.video.palettes import pack, unpack, voc_palette
from spvos_cli.video.soft_edges import NotAMask, harden

A_MASK = "an indexed PNG, or an image with one colour an object"
MOST_OBJECTS = 255
WHITE = 250  # a grey image's only value from here on is white: one object
CLEAR = 128  # alpha below this is background


class Mask(NamedTuple):
    """Attributes: ids (H, W) uint8, 0 the background; palette (256, 3) uint8, the colours of the ids; white,
    whether it was black and white, so that its one id is no choice of its maker."""

    ids: np.ndarray
    palette: np.ndarray
    white: bool = False


class MaskReader:
    """Reads the masks of one video: a colour means the same object in all of them.

    Args:
        note: takes remarks about what had to be merged.
    """

    def __init__(self, note: Note = lambda text: None) -> None:
        self.note = note
        self._colours: dict[int, int] = {}  # packed RGB -> id

    def read(self, path: Path) -> Mask:
        """Object ids of a mask image.

        Indexed images keep their ids and palette. Grey values are ids, white alone is object 1. Colours
        become ids in the order of the palette where they are its colours, else in the order of their value.
        Edges that anti-aliasing or JPEG made soft are no objects.

        Raises:
            InputError: it is missing, no image, without an object, or has more than 255.
        """
        image = _open(path)
        if image.mode in ("P", "PA"):
            mask = self._indexed(path, image)
        elif image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;"):
            mask = self._grey(path, image)
        else:
            mask = self._coloured(path, image)
        if not mask.ids.any():
            raise InputError(
                path, found="no object (every pixel is background)", expected=A_MASK, fix="--mask MASK"
            )
        return mask

    def _indexed(self, path: Path, image: Image.Image) -> Mask:
        palette = voc_palette()
        colours = np.array(image.getpalette() or [], np.uint8).reshape(-1, 3)
        if len(colours) > 1:
            palette[: len(colours)] = colours
        values = np.array(image if image.mode == "P" else image.convert("P"))
        return Mask(self._hard(path, values, lossy=False).astype(np.uint8), palette)

    def _grey(self, path: Path, image: Image.Image) -> Mask:
        values = np.nan_to_num(np.array(image).astype(np.float64), posinf=0, neginf=0).astype(np.int64)
        if image.mode == "1":
            return Mask((values != 0).astype(np.uint8), voc_palette(), white=True)
        values = self._hard(path, values, lossy=_is_lossy(image))
        found = np.unique(values[values != 0])
        if len(found) > MOST_OBJECTS:
            raise _too_many(path, len(found), "values")
        if len(found) and not 0 < found[0] <= found[-1] <= MOST_OBJECTS:
            if len(found) > 1:
                at = found[-1] if found[-1] > MOST_OBJECTS else found[0]
                raise InputError(
                    path, found=f"the value {at}", expected=f"ids from 1 to {MOST_OBJECTS}", fix="--mask MASK"
                )
            return Mask((values != 0).astype(np.uint8), voc_palette(), white=True)
        if len(found) == 1 and found[0] >= WHITE:
            return Mask((values != 0).astype(np.uint8), voc_palette(), white=True)
        return Mask(values.astype(np.uint8), voc_palette())

    def _coloured(self, path: Path, image: Image.Image) -> Mask:
        rgba = np.array(image.convert("RGBA"))
        solid = rgba[..., 3] >= CLEAR
        values = np.where(solid, pack(rgba[..., :3]), 0)
        if not solid.all() and not values.any():  # black on clear
            return Mask(solid.astype(np.uint8), voc_palette(), white=True)
        values = self._hard(path, values, lossy=_is_lossy(image), coloured=True)
        colours = np.unique(values[values != 0])
        if len(colours) > MOST_OBJECTS:
            raise _too_many(path, len(colours), "colours")
        if colours.tolist() == [pack(np.full(3, 255))]:
            return Mask((values != 0).astype(np.uint8), voc_palette(), white=True)
        return self._numbered(path, values, colours)

    def _hard(self, path: Path, values: np.ndarray, *, lossy: bool, coloured: bool = False) -> np.ndarray:
        kind = "colours" if coloured else "values"
        try:
            hard, merged = harden(values, lossy=lossy, coloured=coloured)
        except NotAMask as error:
            found = f"{error.values} {kind}, hardly any of them in flat areas"
            raise InputError(path, found=found, expected=A_MASK, fix="--mask MASK") from error
        if merged:
            self.note(f"{path}: {merged} {kind} on soft edges were merged into the objects beside them")
        return hard

    def _numbered(self, path: Path, values: np.ndarray, colours: np.ndarray) -> Mask:
        """VoidRule for packed RGB values; black is the background."""
        ids = self._ids(colours.tolist())
        if max(ids, default=0) > MOST_OBJECTS:
            raise _too_many(path, max(ids), "colours in all masks")
        palette = voc_palette()
        palette[ids] = unpack(colours)
        table = np.array([*ids, 0])
        index = np.searchsorted(colours, values)
        return Mask(np.where(values == 0, 0, table[index]).astype(np.uint8), palette)

    def _ids(self, colours: list[int]) -> list[int]:
        """An earlier mask's ids, the palette's where every colour so far is one of its, else the next free
        ones."""
        known = {int(colour): i for i, colour in enumerate(pack(voc_palette())) if i}
        of_palette = all(known.get(colour) == i for colour, i in self._colours.items())
        of_palette = of_palette and all(colour in known for colour in colours)
        for colour in colours:
            free = max(self._colours.values(), default=0) + 1
            self._colours.setdefault(colour, known[colour] if of_palette else free)
        return [self._colours[colour] for colour in colours]


def read_mask(path: Path, note: Note = lambda text: None) -> Mask:
    """Object ids of one mask image; see `MaskReader.read`."""
    return MaskReader(note).read(path)


def fit_mask(
    ids: np.ndarray, height: int, width: int, path: Path, note: Note = lambda text: None
) -> np.ndarray:
    """The mask at the frames' size; one of another size with the same aspect is rescaled, and that is said.

    Raises:
        InputError: its aspect is another.
    """
    if ids.shape == (height, width):
        return ids
    found = f"{ids.shape[1]}x{ids.shape[0]} pixels"
    if not same_aspect(ids.shape, height, width):
        raise InputError(
            path, found=found, expected=f"the frames' {width}x{height}", fix="--mask MASK of the video's size"
        )
    note(f"{path}: {found}, rescaled to the frames' {width}x{height}")
    return np.array(Image.fromarray(ids).resize((width, height), Image.Resampling.NEAREST))


def _open(path: Path) -> Image.Image:
    if not path.is_file():
        raise InputError(path, found="no such file", expected=A_MASK, fix="--mask MASK")
    try:
        with Image.open(path) as image:
            check_size(*image.size, path, "--mask MASK")
            image.load()
            return image
    except UNREADABLE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            path, found=f"not readable as an image ({reason})", expected=A_MASK, fix="--mask MASK"
        ) from error


def _is_lossy(image: Image.Image) -> bool:
    return image.format in ("JPEG", "MPO", "WEBP", "AVIF", "JPEG2000")


def _too_many(path: Path, count: int, kind: str) -> InputError:
    return InputError(
        path,
        found=f"{count} {kind}",
        expected=f"at most {MOST_OBJECTS} objects, one colour each",
        fix="--mask MASK",
    )
