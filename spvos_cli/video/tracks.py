"""Which of a container's video tracks is the video."""

from __future__ import annotations

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from spvos_cli.errors import InputError
from spvos_cli.video.frames import A_VIDEO, Note


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
