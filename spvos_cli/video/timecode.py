"""SMPTE time codes, HH:MM:SS:FF, or with a semicolon where frame numbers are dropped."""

from __future__ import annotations

import re
from fractions import Fraction

DROPPED = {30: 2, 60: 4}  # by frames a second: numbers that are left out each minute but every tenth


def later_timecode(text: str, seconds: Fraction, rate: Fraction) -> str:
    """The time code of a frame so many seconds after the one that bears a time code; the text itself where it
    is none."""
    found = re.fullmatch(r"(\d+):(\d\d):(\d\d)([:;.])(\d+)", text)
    if not found or not seconds:
        return text
    hours, minutes, whole, frames = (int(found[group]) for group in (1, 2, 3, 5))
    base = round(rate)
    dropped = DROPPED.get(base, 0) if found[4] in ";." else 0
    minute = 60 * hours + minutes
    number = (60 * minute + whole) * base + frames - dropped * (minute - minute // 10)
    number += round(seconds * rate)
    if dropped:
        tens, rest = divmod(number, 600 * base - 9 * dropped)
        number += 9 * dropped * tens
        number += dropped * max(0, (rest - dropped) // (60 * base - dropped))
    whole, frames = divmod(number, base)
    clock = f"{whole // 3600 % 24:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{clock}{found[4]}{frames:02d}"
