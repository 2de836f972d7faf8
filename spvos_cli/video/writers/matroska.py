"""The shape of pixels in Matroska and WebM, which FFmpeg writes only where its caller can set a field of the
stream that PyAV has not: the header is changed afterwards, without a byte more or less.

To make room, the video track is written with a name, which gives way to DisplayWidth and DisplayHeight.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

ROOM = " " * 48  # the name
HEADER_BYTES = 2**16  # of a file; its tracks stand before the first frame
SEGMENT, TRACKS, TRACK, VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0
NAME, WIDTH, HEIGHT, SHOWN_WIDTH, SHOWN_HEIGHT, UNIT = 0x536E, 0xB0, 0xBA, 0x54B0, 0x54BA, 0x54B2
VOID, CHECKSUM = 0xEC, 0xBF


class Element(NamedTuple):
    """Attributes: code; begin, of the element; data and end, of what it holds: places in the header."""

    code: int
    begin: int
    data: int
    end: int


def with_pixel_aspect(header: bytes, aspect: Fraction) -> bytes:
    """The header of a file whose video track is named `ROOM`, with the pixels' width over height.

    Args:
        header: the file up to its first frame, or more of it; written without checksums.

    Returns:
        As many bytes; the same bytes where there is no such track.
    """
    for segment in _elements(header, 0, len(header), SEGMENT):
        for tracks in _elements(header, segment.data, segment.end, TRACKS):
            for track in _elements(header, tracks.data, tracks.end, TRACK):
                names = list(_elements(header, track.data, track.end, NAME))
                if names and header[names[0].data : names[0].end] == ROOM.encode():
                    changed = _track(header, track, aspect)
                    return header[: track.data] + changed + header[track.end :]
    return header


def _track(header: bytes, track: Element, aspect: Fraction) -> bytes:
    """What the track holds, without its name and with the size to show."""
    parts = []
    for part in _elements(header, track.data, track.end):
        if part.code == VIDEO:
            parts.append(_video(header, part, aspect))
        elif part.code != NAME:
            parts.append(header[part.begin : part.end])
    content = b"".join(parts)
    left = track.end - track.data - len(content) - 2
    assert 0 <= left < 127
    return content + bytes([VOID, 0x80 | left]) + bytes(left)


def _video(header: bytes, video: Element, aspect: Fraction) -> bytes:
    parts = {part.code: header[part.begin : part.end] for part in _elements(header, video.data, video.end)}
    size = {part.code: header[part.data : part.end] for part in _elements(header, video.data, video.end)}
    width, height = (int.from_bytes(size[code], "big") for code in (WIDTH, HEIGHT))
    shown = (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))
    parts.pop(UNIT, None)
    parts |= {c: _number(c, n) for c, n in zip((SHOWN_WIDTH, SHOWN_HEIGHT), shown, strict=True)}
    content = b"".join(parts.values())
    return bytes([VIDEO]) + (0x4000 | len(content)).to_bytes(2, "big") + content


def _number(code: int, value: int) -> bytes:
    return code.to_bytes(2, "big") + b"\x84" + value.to_bytes(4, "big")


def _elements(data: bytes, begin: int, end: int, code: int | None = None) -> Iterator[Element]:
    """One after the other, all or those of a code, as far as the data goes."""
    while begin < min(end, len(data)) - 1:
        found, at = _variable(data, begin, keep_length=True)
        length, content = _variable(data, at)
        stop = min(end, content + length)
        if code in (None, found):
            yield Element(found, begin, content, stop)
        begin = stop


def _variable(data: bytes, at: int, *, keep_length: bool = False) -> tuple[int, int]:
    """A number of variable length at a place, and the place after it."""
    length = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + length], "big")
    return (value if keep_length else value & ((1 << 7 * length) - 1)), at + length
