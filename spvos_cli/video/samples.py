"""Samples of more than 8 bits, and floats: which of their values are black and white."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from spvos_cli.errors import InputError

RANGE = re.compile(r"(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?),(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)", re.IGNORECASE)
BITS = (8, 10, 12, 14, 16)  # that cameras have; what uses a good part of one of them is shown by it
GOOD_PART = 0.25
TAILS = (0.1, 99.9)  # percentiles; single hot or dead pixels lie beyond
MOST_SAMPLES = 2**18  # of an image that are looked at


class SampleRange(NamedTuple):
    """Attributes: low, high: the values that become 0 and 255; high is greater."""

    low: float
    high: float

    def __str__(self) -> str:
        """As --range takes it."""
        return f"{self.low:g},{self.high:g}"

    def to_bytes(self, values: np.ndarray) -> np.ndarray:
        """Samples of any shape as uint8; what is no number is black."""
        scale = 255 / (self.high - self.low)
        if values.dtype == np.uint16:
            every = np.arange(2**16, dtype=np.float64)
            table = ((every - self.low) * scale + 0.5).clip(0, 255).astype(np.uint8)
            return np.asarray(table[values])
        scaled = (values.astype(np.float32) - np.float32(self.low)) * np.float32(scale) + np.float32(0.5)
        return np.asarray(np.nan_to_num(scaled, nan=0, posinf=255, neginf=0).clip(0, 255).astype(np.uint8))


def parse_range(text: str) -> SampleRange:
    """LOW,HIGH.

    Raises:
        InputError: these are not two numbers, the first of them lower.
    """
    match = RANGE.fullmatch(text.replace(" ", ""))
    if not match or not float(match[1]) < float(match[2]):
        raise InputError(
            f"--range {text}", found="no range", expected="two numbers LOW,HIGH, as 0,4095", fix="--range"
        )
    return SampleRange(float(match[1]), float(match[2]))


def measured_range(images: Iterable[np.ndarray]) -> SampleRange:
    """One range for a run, from some of its images: all that the samples could hold, in the fewest bits that
    they need (0 to 1 for floats, if that will do), where they use a good part of that; else what they do
    use."""
    found = np.concatenate([_some(image) for image in images])
    found = found[np.isfinite(found)]
    if not len(found):
        return SampleRange(0, 1)
    low, high = (float(x) for x in np.percentile(found, TAILS))
    whole = [1.0] * (found.dtype.kind == "f") + [float(2**bits - 1) for bits in BITS]
    top = next((limit for limit in whole if found.max() <= limit), None)
    if top is not None and found.min() >= 0 and high - low >= GOOD_PART * top:
        return SampleRange(0, top)
    return SampleRange(low, high if high > low else low + 1)


def check_range_is_of_use(given: SampleRange | None, *, deep: bool) -> None:
    """Raises InputError where a range is given for samples of 8 bits, which have but one."""
    if given is not None and not deep:
        expected = "images of 16-bit or float samples"
        raise InputError(f"--range {given}", found="samples of 8 bits", expected=expected, fix="--range")


def is_deep(values: np.ndarray) -> bool:
    """Whether samples need a range."""
    return values.dtype != np.uint8


def _some(image: np.ndarray) -> np.ndarray:
    flat = image.ravel()
    return flat[:: max(1, len(flat) // MOST_SAMPLES)]
