"""Masks that somebody brings for one frame: an image, or JSON of labelme or COCO."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from spvos_cli.annotate.pictures import PNG_MODES
from spvos_cli.annotate.worker import Refused
from spvos_cli.errors import InputError
from spvos_cli.video.frames import Source
from spvos_cli.video.image_files import UNREADABLE
from spvos_cli.video.mask_json import read_mask_json
from spvos_cli.video.mask_opening import fit_mask
from spvos_cli.video.masks import MaskReader

MOST_PIXELS = 2**26  # of an image
NAME = Path("the file")
EXPECTED = "a PNG, or JSON of labelme or COCO"


def ids_of_file(content: bytes, frame: int, source: Source) -> np.ndarray:
    """The label map (H, W) uint8 that a file gives for a frame; as `--mask` reads it.

    Args:
        content: of the file.
        frame: whose masks are taken from JSON of several frames.

    Raises:
        Refused: it is no such file, or has no mask for that frame.
    """
    is_json = content.lstrip()[:1] in (b"{", b"[")
    with tempfile.TemporaryDirectory() as folder:  # JSON is read from files
        path = Path(folder) / "masks.json" if is_json else NAME
        try:
            ids = _of_json(content, path, frame, source) if is_json else _of_png(content)
            return fit_mask(ids, source, NAME)
        except InputError as error:
            raise Refused(str(error).replace(str(path), str(NAME))) from error


def _of_png(content: bytes) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.width * image.height > MOST_PIXELS or image.mode not in PNG_MODES:
                found = f"a picture of {image.width}x{image.height} ({image.mode})"
                raise Refused(f"{found}; expected {EXPECTED}")
            image.load()
            return MaskReader().of_image(image, NAME).ids
    except UNREADABLE as error:
        raise Refused(f"not readable as an image; expected {EXPECTED}") from error


def _of_json(content: bytes, path: Path, frame: int, source: Source) -> np.ndarray:
    path.write_bytes(content)
    parts = read_mask_json(path, source)
    own = [part.ids for part in parts if part.frame == frame or len(parts) == 1]
    if not own:
        raise Refused(f"no mask of frame {frame} among those of {len(parts)} images")
    return own[0]
