"""Pictures that come and go: frames as JPEG, label maps as PNG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from spvos_cli.annotate.worker import Refused
from spvos_cli.video.image_files import UNREADABLE
from spvos_cli.video.paint import resize_to

WIDEST = 1280  # pixels of a frame that is not looked at closely
QUALITY = 90  # of JPEG
PNG_MODES = {"L", "P", "RGB", "RGBA"}  # of 8 bits; browsers write RGBA


def jpeg(image: np.ndarray, widest: int | None = WIDEST) -> bytes:
    """A frame (H, W, 3) uint8.

    Args:
        widest: the width that it is scaled to where it is wider; None: as it is.
    """
    height, width = image.shape[:2]
    if widest is not None and width > widest:
        image = resize_to(image, widest, max(1, round(height * widest / width)))
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="jpeg", quality=QUALITY)
    return buffer.getvalue()


def most_png_bytes(shape: tuple[int, int]) -> int:
    """Of a PNG (H, W), were it not compressed at all."""
    return 4 * shape[0] * shape[1] + shape[0] + 2**16


def ids_of_png(content: bytes, shape: tuple[int, int]) -> np.ndarray:
    """The label map (H, W) uint8 of a PNG that somebody sent: grey values, or those of red.

    Raises:
        Refused: it is no PNG of this shape.
    """
    expected = f"a PNG of {shape[1]}x{shape[0]} pixels"
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.size != (shape[1], shape[0]) or image.mode not in PNG_MODES:
                found = f"a picture of {image.width}x{image.height} ({image.mode})"
                raise Refused(f"{found}; expected {expected}")
            values = np.array(image)
    except UNREADABLE as error:
        raise Refused(f"not readable as an image; expected {expected}") from error
    return np.ascontiguousarray(values if values.ndim == 2 else values[..., 0])
