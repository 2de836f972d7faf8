"""What objects are called, written beside them in overlays."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

LINES = 28  # of text that a frame's shorter side has room for
SMALLEST = 11  # of a font, in pixels


def write_captions(image: np.ndarray, labels: np.ndarray, names: Mapping[int, str]) -> None:
    """Writes the name of each object, or its id where it has none, above its highest pixels, or on them where
    there is no room, in place.

    Args:
        image: (H, W, 3) uint8.
        labels: (H, W) uint8 ids.
        names: by id; of letters that the font lacks accents are left out, or the letters.
    """
    font = ImageFont.load_default(max(SMALLEST, round(min(labels.shape) / LINES)))
    stroke = max(1, round(font.size / 8)) if isinstance(font, ImageFont.FreeTypeFont) else 1
    for i in np.unique(labels[labels > 0]).tolist():
        text = _plain(names.get(i, "")) or str(i)
        x0, y0, x1, y1 = (round(at) for at in font.getbbox(text, stroke_width=stroke))
        width, height = min(x1 - x0, labels.shape[1]), min(y1 - y0, labels.shape[0])
        top = cv2.boundingRect(cv2.inRange(labels, i, i))[1]
        middle = round(np.flatnonzero(labels[top] == i).mean())
        left = min(max(0, middle - width // 2), labels.shape[1] - width)
        top = top - height if top >= height else min(top, labels.shape[0] - height)
        place = np.s_[top : top + height, left : left + width]
        picture = Image.fromarray(np.ascontiguousarray(image[place]))
        draw = ImageDraw.Draw(picture)
        draw.text((-x0, -y0), text, "white", font, stroke_width=stroke, stroke_fill="black")
        image[place] = np.asarray(picture)


def _plain(name: str) -> str:
    """In ASCII, which is what Pillow's own font has."""
    return unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().strip()
