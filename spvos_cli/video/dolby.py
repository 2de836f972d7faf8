"""Dolby Vision whose colours are its own: what a file says of it."""

from __future__ import annotations

import struct

import av
from av.sidedata.sidedata import Type

from spvos_cli.video.side_data import UnknownSideData, side_data_of

OWN_TAGS = ("dvh1", "dvhe", "dav1")  # in MP4 and MOV: no other colours for who does not know Dolby Vision
OWN_PROFILE = 0  # of the data beside each frame; profile 5 of the whole, 10.0 in AV1


def has_own_colours(frame: av.VideoFrame, tag: str) -> bool:
    """Whether a frame's YUV is Dolby's IPT (profile 5), which FFmpeg decodes as it is; profiles 7 to 9 are
    HLG, PQ or SDR with more data beside them.

    Args:
        tag: the track's codec tag.
    """
    try:
        data = side_data_of(frame, Type.DOVI_METADATA)
    except UnknownSideData:
        data = b""
    return tag in OWN_TAGS or frame_profile(data) == OWN_PROFILE


def frame_profile(metadata: bytes) -> int | None:
    """The profile in FFmpeg's AVDOVIMetadata: an offset to a header of type, format and profile."""
    if len(metadata) < struct.calcsize("N"):
        return None
    (header,) = struct.unpack_from("N", metadata)
    return metadata[header + 4] if header + 4 < len(metadata) else None
