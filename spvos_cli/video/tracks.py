"""Which of a container's video tracks is the video."""

from __future__ import annotations

from typing import cast

from av.codec.context import CodecContext
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from spvos_cli.errors import InputError
from spvos_cli.video.frames import A_VIDEO, MAX_PIXELS, Note

WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # decoders that keep it; FFmpeg's own drop it


def choose_track(container: InputContainer, label: str, wanted: int | None, note: Note) -> VideoStream:
    """The track that --track names, counted from 0 as ffmpeg's `v:N`; else the one that players show: the
    default one, then the largest; cover art is none. Where there are others, that is said.

    Raises:
        InputError: there is none, or none that decodes.
    """
    tracks = [stream for stream in container.streams.video if stream.codec_context is not None]
    if not tracks:
        found = "a format that nothing here decodes" if container.streams.video else "no video stream"
        raise InputError(label, found=found, expected=A_VIDEO, fix="INPUT")
    if wanted is not None:
        if wanted >= len(tracks):
            found = f"no video track {wanted}"
            raise InputError(label, found=found, expected=f"0 to {len(tracks) - 1}", fix="--track")
        return tracks[wanted]
    moving = [track for track in tracks if not track.disposition & Disposition.attached_pic] or tracks
    best = max(moving, key=lambda s: (bool(s.disposition & Disposition.default), s.width * s.height))
    if len(moving) > 1:
        sizes = ", ".join(f"{tracks.index(s)}: {s.width}x{s.height}" for s in moving)
        note(f"{label}: video tracks {sizes}; {tracks.index(best)} is followed (--track takes another)")
    return best


class TrackDecoder:
    """Decodes a video track, with its alpha where it has some.

    Args:
        track: its codec context gets threads and the limit of pixels.
    """

    def __init__(self, track: VideoStream) -> None:
        track.thread_type = "AUTO"
        modes = [text for key, text in track.metadata.items() if key.lower() == "alpha_mode"]
        name = WITH_ALPHA.get(track.codec_context.name.removeprefix("lib")) if modes == ["1"] else None
        self._own = cast("VideoCodecContext", CodecContext.create(name, "r")) if name else None
        (self._own or track.codec_context).options = {"max_pixels": str(MAX_PIXELS)}

    def decode(self, packet: Packet[VideoStream]) -> list[VideoFrame]:
        """Frames of the next packet; raises what PyAV raises."""
        return packet.decode() if self._own is None else self._own.decode(packet)

    def forget(self) -> None:
        """After the container's seek, which forgets for its own decoders."""
        if self._own is not None:
            self._own.flush_buffers()
