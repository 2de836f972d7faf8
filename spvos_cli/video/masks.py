"""Reading the masks that people have: indexed, grey, black-and-white or colour images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.video.frames import Note, no_note
from spvos_cli.video.mask_colours import ColourNumbers
from spvos_cli.video.mask_images import (
    BLACK,
    CLEAR,
    VOID,
    WHITE,
    clear_entries,
    ground_colour,
    ground_index,
    has_soft_edges,
    has_void,
    is_cutout,
    is_lossy,
    is_matte,
    palette_colours,
    picture_on_ground,
)
from spvos_cli.video.mask_opening import A_MASK, no_object, open_mask, too_many
from spvos_cli.video.palettes import ids_of_colours, pack, unpack, voc_palette
from spvos_cli.video.small_ids import MOST_OBJECTS, SmallIds
from spvos_cli.video.soft_edges import NOISE, NotAMask, harden

PROBABLE = 0.5
FEW = 32  # grey values up to this many are ids at once where reading is strict


class Mask(NamedTuple):
    """Ids of objects.

    Attributes:
        ids: (H, W) uint8, 0 the background.
        palette: (256, 3) uint8, the colours of the ids.
        white: whether it was black and white, so that its one id is no choice of its maker.
    """

    ids: np.ndarray
    palette: np.ndarray
    white: bool = False


class MaskReader:
    """Reads the masks of one video: a colour means the same object in all of them.

    Indexed images keep their ids and palette, unless their background is another index than 0: then their
    colours count. Grey values are ids, white alone is one object. Colours become ids in the order of the
    palette where they are its colours, else in the order of their value. Where a photograph is cut out, its
    alpha is the mask. Edges that anti-aliasing or JPEG made soft are no objects.

    Args:
        note: takes remarks about what had to be merged, and about what is odd.
        strict: for scoring, where ids must not depend on what else was read: colours must be DAVIS's, white
            alone is 255 instead of 1, 255 beside small ids stays (else it is nothing), indices are taken as
            they are.
        files: all masks of an annotated video, for training: colours that are not the palette's are numbered
            over all of them, in whatever order they are read, and indices are taken as they are.
    """

    def __init__(self, note: Note = no_note, *, strict: bool = False, files: Sequence[Path] = ()) -> None:
        self.note, self.strict, self._exact = note, strict, strict or bool(files)
        self._numbers = ColourNumbers((lambda: _colours_of(files)) if files else None)
        self._small_ids = SmallIds()

    @property
    def colours(self) -> list[int]:
        """Packed RGB values that mean an object in what was read."""
        return self._numbers.colours

    def read(self, path: Path) -> Mask:
        """The ids of a mask image, of which there may be none.

        Raises:
            InputError: it is missing, no image, or has more than 255 objects.
        """
        return self.of_image(open_mask(path), path)

    def of_image(self, image: Image.Image, path: Path) -> Mask:
        """The same of an image that is loaded; `path` is for messages."""
        try:
            return self._of_image(image, path)
        except NotAMask as error:
            noise = NOISE if is_lossy(image) else BLACK
            found = picture_on_ground(np.array(image.convert("RGB")), noise)
            if found is None or self.strict:
                many = f"{error.values} colours, hardly any of them in flat areas"
                raise InputError(path, found=many, expected=A_MASK, fix="--mask MASK") from error
            self.note(f"{path}: a picture on a plain ground; what differs from that is the object")
            return self._white(found)

    def of_values(self, values: np.ndarray, path: Path) -> Mask:
        """The same of ids (H, W) of any type, or of probabilities from 0 to 1."""
        return self._grey(path, values, lossy=False)

    def _of_image(self, image: Image.Image, path: Path) -> Mask:
        if image.mode == "P":
            return self._indexed(path, image)
        if image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;"):
            return self._grey(path, np.array(image), lossy=is_lossy(image), bits=image.mode == "1")
        return self._coloured(path, np.array(image.convert("RGBA")), lossy=is_lossy(image))

    def _indexed(self, path: Path, image: Image.Image) -> Mask:
        values, colours, clear = np.array(image), palette_colours(image), clear_entries(image)
        rgba = np.array(image.convert("RGBA")) if len(colours) else np.zeros((*values.shape, 4), np.uint8)
        if clear and is_cutout(rgba):
            return self._coloured(path, rgba, lossy=False)
        if ground := ground_index(values, colours, clear):
            rgba[values == ground] = 0
            self.note(f"{path}: the background is index {ground} of its palette; its colours are the objects")
            return self._coloured(path, rgba, lossy=False)
        palette = voc_palette()
        if len(colours) > 1:
            palette[: len(colours)] = colours
        if self._exact:
            return Mask(self._without_void(path, values, indexed=True), palette)
        values = self._hard(path, values, lossy=False).astype(np.uint8)
        used = np.unique(values[values > 0])
        if len(used) and used[-1] < len(colours):
            ids = dict(zip(pack(colours[used]).tolist(), used.tolist(), strict=True))
            if self._numbers.contradict(ids):
                self.note(f"{path}: its palette is in another order than those before; its colours count")
                rgba[values == 0] = 0
                return self._coloured(path, rgba, lossy=False)
            self._numbers.learn(ids)
        return Mask(self._without_void(path, values, indexed=True), palette)

    def _grey(self, path: Path, values: np.ndarray, *, lossy: bool, bits: bool = False) -> Mask:
        if bits or values.dtype == bool:
            return self._white(values)
        if values.dtype.kind == "f" and 0 < values.max() <= 1:
            return self._white(values >= PROBABLE)
        if values.dtype != np.uint8:
            values = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0).astype(np.int64)
        found = np.unique(values[values != 0])
        if self.strict and lossy and len(found) and found[-1] < 2 * NOISE:
            raise InputError(
                path,
                found=f"ids in a format that changes them (grey values up to {found[-1]})",
                expected="ids in PNG, or white objects",
                fix="write indexed PNGs",
            )
        if has_soft_edges(found) and is_matte(values):
            self.note(
                f"{path}: {len(found) - 1} values on soft edges were merged into the objects beside them"
            )
            return self._white(values > found[-1] / 2)
        if lossy or len(found) > (FEW if self.strict else 1) or has_soft_edges(found):
            values = self._hard(path, values, lossy=lossy)
            found = np.unique(values[values != 0])
        if len(found) == 1 and found[0] >= WHITE:
            return self._white(values)
        if len(found) > MOST_OBJECTS:
            raise too_many(path, len(found), "values")
        if not self._exact:
            values = self._without_ground(path, values)
            values = self._small(path, values, np.unique(values[values != 0]))
            found = np.unique(values[values != 0])
        if len(found) and not 0 < found[0] <= found[-1] <= MOST_OBJECTS:
            at = found[-1] if found[-1] > MOST_OBJECTS else found[0]
            raise InputError(
                path, found=f"the value {at}", expected=f"ids from 1 to {MOST_OBJECTS}", fix="--mask MASK"
            )
        return Mask(self._without_void(path, values.astype(np.uint8), indexed=False), voc_palette())

    def _coloured(self, path: Path, rgba: np.ndarray, *, lossy: bool) -> Mask:
        """Of (H, W, 4) uint8."""
        solid = rgba[..., 3] >= CLEAR
        if is_cutout(rgba):
            self.note(f"{path}: a picture cut out by its transparency; what is solid in it is the object")
            return self._white(solid)
        values = np.where(solid, pack(rgba[..., :3]), 0)
        if not solid.all() and not values.any():  # black on clear
            return self._white(solid)
        if self.strict:
            ids = ids_of_colours(path, unpack(values).astype(np.uint8))
            grey = (rgba[..., :3] == rgba[..., :1])[solid].all()
            return self._grey(path, ids, lossy=lossy) if grey else Mask(ids, voc_palette())
        values = self._without_ground(path, self._hard(path, values, lossy=lossy, coloured=True))
        values = self._numbers.as_known(values) if lossy else values
        colours = np.unique(values[values != 0])
        if len(colours) > MOST_OBJECTS:
            raise too_many(path, len(colours), "colours")
        if colours.tolist() == [pack(np.full(3, 255))]:
            return self._white(values)
        numbers = self._numbers.of(colours.tolist())
        if max(numbers, default=0) > MOST_OBJECTS:
            raise too_many(path, max(numbers), "colours in all masks")
        palette = voc_palette()
        palette[numbers] = unpack(colours)
        ids = np.array([*numbers, 0])[np.searchsorted(colours, values)]
        ids = np.where(values == 0, 0, ids).astype(np.uint8)
        return Mask(self._without_void(path, ids, indexed=True), palette)

    def _white(self, values: np.ndarray) -> Mask:
        """One object where values are not 0."""
        white = np.uint8(255 if self.strict else 1)
        return Mask((values != 0).astype(np.uint8) * white, voc_palette(), white=True)

    def _without_ground(self, path: Path, values: np.ndarray) -> np.ndarray:
        ground = ground_colour(values)
        if ground is None:
            return values
        self.note(f"{path}: nothing in it is black; the colour of its border is taken for the background")
        return np.where(values == ground, 0, values)

    def _small(self, path: Path, values: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Grey values with those above 255 (class and number in one, as KITTI writes them) numbered anew, the
        same in all masks."""
        if len(found) and found[0] < 0:
            return values
        ids = self._small_ids.of(found.tolist())
        if ids is None:
            raise too_many(path, len(found), "values")
        if ids == found.tolist():
            return values
        names = ", ".join(f"{value} is {i}" for value, i in zip(found[:3], ids, strict=False))
        self.note(f"{path}: ids up to {found[-1]} are numbered anew: {names}{', ...' * (len(ids) > 3)}")
        return np.array([*ids, 0])[np.where(values == 0, len(ids), np.searchsorted(found, values))]

    def _without_void(self, path: Path, ids: np.ndarray, *, indexed: bool) -> np.ndarray:
        """Ids, those undecided being none; unless reading is strict, where the protocol settles that."""
        if (
            self.strict
            or ids.max() < VOID
            or not has_void(np.flatnonzero(np.bincount(ids.ravel())), indexed=indexed)
        ):
            return ids
        self.note(f"{path}: 255 beside small ids means undecided; it is no object")
        return np.where(ids == VOID, np.uint8(0), ids)

    def _hard(self, path: Path, values: np.ndarray, *, lossy: bool, coloured: bool = False) -> np.ndarray:
        kind = "colours" if coloured else "values"
        hard, merged = harden(values, lossy=lossy, coloured=coloured)
        if merged:
            self.note(f"{path}: {merged} {kind} on soft edges were merged into the objects beside them")
        return hard


def read_mask(path: Path, note: Note = no_note) -> Mask:
    """Object ids of one mask image; see `MaskReader`.

    Raises:
        InputError: it cannot be read, or there is no object in it.
    """
    mask = MaskReader(note).read(path)
    if not mask.ids.any():
        raise no_object(path)
    return mask


def _colours_of(files: Sequence[Path]) -> list[int]:
    reader = MaskReader()
    for file in files:
        reader.read(file)
    return reader.colours
