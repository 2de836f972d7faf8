"""Remarks about files, of which there may be many alike."""

from __future__ import annotations

import re
from collections.abc import Sequence


def summed_up(remarks: Sequence[str]) -> list[str]:
    """The first remark of each kind, and how many masks there are of it."""
    kinds: dict[str, list[str]] = {}
    for text in remarks:
        kinds.setdefault(re.sub(r"\d+", "#", text.partition(": ")[2]), []).append(text)
    return [texts[0] + (f" ({len(texts)} such masks)" if len(texts) > 1 else "") for texts in kinds.values()]
