"""Why a file cannot be read as video."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import BinaryIO


def why_unreadable(file: Path | BinaryIO | str, error: Exception) -> str:
    """What to say of a file that FFmpeg does not open."""
    if isinstance(file, Path):
        with contextlib.suppress(OSError):
            if not file.stat().st_size:
                return "an empty file"
            with file.open("rb") as stream:
                if stream.read(12)[4:8] == b"ftyp" and b"moov" not in _boxes(file):
                    return "a recording that was cut off: its index (moov) is missing; recover it first"
    return f"not readable as video ({getattr(error, 'strerror', None) or str(error)})"


def _boxes(file: Path) -> list[bytes]:
    """The types of an MP4's outermost boxes."""
    found: list[bytes] = []
    with file.open("rb") as stream:
        while len(header := stream.read(8)) == 8 and len(found) < 1000:
            size = int.from_bytes(header[:4], "big")
            if size == 1:
                size = int.from_bytes(stream.read(8), "big") - 8
            found.append(header[4:])
            if size < 8:
                break
            stream.seek(size - 8, 1)
    return found
