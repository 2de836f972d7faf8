"""Masks in .npy and .npz files, as people save what a network or NumPy gave them."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from spvos_cli.errors import InputError
from spvos_cli.video.frames import Source, same_aspect
from spvos_cli.video.small_ids import MOST_OBJECTS

ARRAYS = {".npy", ".npz"}
UNREADABLE_ARRAY = (
    *(OSError, ValueError, KeyError, EOFError, IndexError, TypeError, SyntaxError, RuntimeError, MemoryError),
    *(OverflowError, zlib.error, struct.error, zipfile.BadZipFile, lzma.LZMAError),
)  # what NumPy and zipfile raise for damaged files
AN_ARRAY = "ids (H, W), or (N, H, W) with a mask for each frame or each object"
KNOWN = ("masks", "mask", "labels")  # entries of an .npz file that are the mask, whatever lies beside them
OVERLAP = 0.5  # share of the pixels of several objects' masks that may belong to more than one


def read_arrays(path: Path, source: Source) -> list[tuple[int, np.ndarray]]:
    """The masks in a file: frames, counted from the first one or in an .npz by the entries' names, and what
    is there: ids or probabilities (H, W), or colours (H, W, 3 or 4) uint8.

    Raises:
        InputError: it is damaged, or no mask.
    """
    arrays = _load(path)
    single = next((name for name in KNOWN if name in arrays), None)
    if len(arrays) == 1 or single:
        return _masks_in(path, arrays[single] if single else next(iter(arrays.values())), source)
    if all(name.isdecimal() for name in arrays):
        frames = {name: source.index_of_number(int(name)) for name in arrays}
        if lost := [name for name, index in frames.items() if index is None]:
            found = f"{lost[0]} belongs to no frame"
            raise InputError(path, found=found, expected=AN_ARRAY, fix="--mask MASK")
        return [(frames[name] or 0, _plain(path, values)) for name, values in arrays.items()]
    if len({values.shape for values in arrays.values()}) > 1:
        found = f"entries {', '.join([*arrays][:5])} of several shapes"
        raise InputError(path, found=found, expected=f"an entry {KNOWN[0]}", fix="--mask MASK")
    return _masks_in(path, np.stack([*arrays.values()]), source)


def _load(path: Path) -> Mapping[str, np.ndarray]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            return {name: np.asarray(loaded[name]) for name in loaded}
        return {path.stem: np.asarray(loaded)}
    except UNREADABLE_ARRAY as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        found = f"not readable as an array ({reason})"
        raise InputError(path, found=found, expected=AN_ARRAY, fix="--mask MASK") from error


def _masks_in(path: Path, array: np.ndarray, source: Source) -> list[tuple[int, np.ndarray]]:
    values = _plain(path, array)
    if values.ndim == 2 or _is_coloured(values, source):
        return [(0, values)]
    if not _fits(values.shape[1:], source) and _fits(values.shape[:2], source):
        values = np.moveaxis(values, -1, 0)
    if len(values) == source.frames or (values.dtype.kind in "ui" and values.max(initial=0) > 1):
        return list(enumerate(values))
    return [(0, _merged(path, values, source))]


def _merged(path: Path, values: np.ndarray, source: Source) -> np.ndarray:
    """Objects (N, H, W) as ids (H, W); the later one holds where they overlap."""
    there = values >= 0.5
    count = there.sum(axis=0)
    if len(values) > MOST_OBJECTS or (count > 1).sum() > OVERLAP * (count > 0).sum():
        found = f"{len(values)} masks, too many or too much alike for objects of one frame"
        expected = f"a mask for each of the {source.frames} frames" if source.frames else AN_ARRAY
        raise InputError(path, found=found, expected=expected, fix="--mask MASK")
    ids = np.zeros(values.shape[1:], np.uint8)
    for number, one in enumerate(there, 1):
        ids[one] = number
    return ids


def _plain(path: Path, values: np.ndarray) -> np.ndarray:
    """Without axes of length 1, of two or three dimensions.

    Raises:
        InputError: these are no masks.
    """
    shape = values.shape
    while values.ndim > 2 and 1 in values.shape:
        values = values.squeeze(values.shape.index(1))
    if values.ndim not in (2, 3) or values.dtype.kind not in "buif" or not values.size:
        found = f"an array of {values.dtype} {shape}"
        raise InputError(path, found=found, expected=AN_ARRAY, fix="--mask MASK")
    if values.dtype.kind == "f" and values.max() > 1 and (values != np.rint(values)).any():
        found = "numbers that are neither ids nor probabilities"
        raise InputError(path, found=found, expected="ids, or 0 to 1", fix="--mask MASK")
    return values


def _is_coloured(values: np.ndarray, source: Source) -> bool:
    return values.dtype == np.uint8 and values.shape[-1] in (3, 4) and _fits(values.shape[:2], source)


def _fits(shape: tuple[int, ...], source: Source) -> bool:
    return same_aspect(shape, source.height, source.width)
