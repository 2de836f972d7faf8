"""What FFmpeg puts beside a decoded frame."""

from __future__ import annotations

from typing import cast

import av
from av.sidedata.sidedata import SideDataContainer, Type


class UnknownSideData(Exception):
    """There is some that PyAV has no name for (EXIF, views of spatial video), and it gives none at all."""


def side_data_of(frame: av.VideoFrame, kind: Type) -> bytes:
    """The data of a kind; nothing where there is none.

    Raises:
        UnknownSideData: nobody can say.
    """
    try:
        found = cast("SideDataContainer", frame.side_data)  # PyAV's stub says otherwise
    except ValueError as error:
        raise UnknownSideData from error
    return bytes(found[kind]) if kind in found else b""
