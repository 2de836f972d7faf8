"""How a picture must be turned to stand as players show it: a video's display matrix, an image's EXIF."""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

import numpy as np

FRACTION = 1 << 16  # of the matrix's first four numbers
# mirrored, turns
EXIF = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 1), 6: (False, 3), 7: (True, 3), 8: (False, 1)}


class Orientation(NamedTuple):
    """A turn by quarters, after a reflection.

    Attributes:
        mirrored: whether left and right are swapped first.
        turns: by 90 degrees, counter-clockwise.
    """

    mirrored: bool = False
    turns: int = 0

    @classmethod
    def of_matrix(cls, matrix: bytes) -> Orientation:
        """From the nine 32-bit numbers of FFmpeg's display matrix; other angles than quarters are rounded."""
        a, b, _, c, d = struct.unpack_from("5i", matrix)
        mirrored = a * d - b * c < 0
        if mirrored:  # a reflection of x comes first: its column changes sign
            a, b = -a, -b
        angle = math.degrees(math.atan2(-b, a)) if a or b else math.degrees(math.atan2(c, d))
        return cls(mirrored, round(angle / 90) % 4)

    @classmethod
    def of_exif(cls, number: int) -> Orientation:
        """From EXIF's orientation, 1 to 8; any other number is upright."""
        return cls(*EXIF.get(number, ()))

    @property
    def on_its_side(self) -> bool:
        """Whether width and height change places."""
        return self.turns % 2 == 1

    def __str__(self) -> str:
        """For messages."""
        turned = f"rotated by {90 * self.turns} degrees" if self.turns else ""
        return " and ".join(filter(None, ["mirrored" if self.mirrored else "", turned])) or "upright"

    def apply(self, image: np.ndarray) -> np.ndarray:
        """(H, W, ...) as it is stored -> the same upright."""
        image = image[:, ::-1] if self.mirrored else image
        return np.ascontiguousarray(np.rot90(image, self.turns))


UPRIGHT = Orientation()
