"""Videos that survive being cut off: written as pieces that play as far as they go, joined at the end."""

from __future__ import annotations

import errno
import io
import os
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av

from spvos_cli.errors import RunError
from spvos_cli.files import atomic_path
from spvos_cli.video.writers.writer import PartWriter, SegmentedFrame, Setting

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG}
# each frame goes to the file at once, whatever other streams have to say
PIECE_OPTIONS = {"flush_packets": "1", "max_interleave_delta": "1"}


class Format(NamedTuple):
    """Attributes: name, FFmpeg's, of the joined file; piece, of what it is joined from; piece_options."""

    name: str
    piece: str
    piece_options: dict[str, str]


# NUT is whole after every packet and keeps any time base; it has no ProRes and no alpha beside VP9
MP4 = Format("mp4", "nut", {})
MATROSKA = Format("matroska", "nut", {})
WEBM = Format("webm", "webm", {"cluster_time_limit": "1"})
MOV = Format("mov", "mov", {"movflags": "empty_moov+frag_every_frame+default_base_moof"})


class PieceVideo(PartWriter):
    """A video in the folder PATH.part, a piece from one checkpoint to the next, until it is closed.

    A piece is named after its first frame and that frame's time.
    """

    format: Format
    with_audio = False

    def __init__(self, path: Path, setting: Setting, saved: dict[str, Any] | None = None) -> None:
        super().__init__(path, setting, saved)
        for piece in self._pieces():
            if first_frame(piece) >= saved["frame"]:
                piece.unlink()
        self._container: av.container.OutputContainer | None = None
        self._audio = self._usable_audio() if self.with_audio else None

    def add_video(self, container: av.container.OutputContainer) -> av.VideoStream:
        """The encoder."""
        raise NotImplementedError

    def picture(self, segmented: SegmentedFrame) -> av.VideoFrame:
        """What is shown."""
        raise NotImplementedError

    def write(self, segmented: SegmentedFrame) -> None:
        try:
            if self._container is None:
                self._open(segmented.frame.index, segmented.frame.pts)
            for packet in segmented.frame.audio if self._audio else ():
                packet.stream = self._sound
                self._container.mux(packet)
            frame = self.picture(segmented)
            frame.pts, frame.time_base = segmented.frame.pts, self.source.time_base
            self._container.mux(self._video.encode(frame))
        except (av.FFmpegError, ValueError) as error:
            raise encoding_error(self.path, error) from error

    def checkpoint(self, frame: int) -> dict[str, Any]:
        self._end_piece()
        return {"frame": frame}

    def close(self) -> None:
        self._end_piece()
        if pieces := self._pieces():
            try:
                with atomic_path(self.path) as part:
                    join(pieces, part, self.format.name, self.source.time_base)
            except (av.FFmpegError, ValueError) as error:
                raise encoding_error(self.path, error) from error

    def _pieces(self) -> list[Path]:
        return sorted(self.folder.glob(f"*.{self.format.piece}"), key=first_frame)

    def _open(self, index: int, pts: int) -> None:
        path = self.folder / f"{index:08d}@{pts}.{self.format.piece}"
        options = PIECE_OPTIONS | self.format.piece_options
        self._container = av.open(str(path), "w", format=self.format.piece, container_options=options)
        self._video = self.add_video(self._container)
        self._video.time_base = self._video.codec_context.time_base = self.source.time_base
        self._video.codec_context.sample_aspect_ratio = self.source.pixel_aspect
        self._sound = self._container.add_stream_from_template(self._audio) if self._audio else None

    def _end_piece(self) -> None:
        container, self._container = self._container, None
        if container is None:
            return
        try:
            container.mux(self._video.encode(None))
            container.close()
        except (av.FFmpegError, ValueError) as error:
            raise encoding_error(self.path, error) from error

    def _usable_audio(self) -> av.AudioStream | None:
        """The source's audio, where both the pieces and the file can hold it."""
        audio = self.source.audio
        if audio and not (audio.codec_context.channels and audio.codec_context.sample_rate):
            self.note(f"{self.path}: the source's audio is damaged and is left out")
            return None
        for name in (self.format.name, self.format.piece) if audio else ():
            try:
                av.open(io.BytesIO(), "w", format=name).add_stream_from_template(audio)
            except (av.FFmpegError, ValueError):
                found = f"its audio ({audio.codec_context.name}) does not fit into {self.format.name}"
                self.note(f"{self.path}: {found} and is left out")
                return None
        return audio


def first_frame(piece: Path) -> int:
    """The number of a piece's first frame."""
    return int(piece.name.split("@")[0])


def join(pieces: list[Path], target: Path, name: str, time_base: Fraction) -> None:
    """Puts pieces one after the other into one container, as they are encoded."""
    with av.open(str(target), "w", format=name) as container:
        streams: dict[int, av.stream.Stream] = {}
        for piece in pieces:
            _append(piece, container, streams, time_base)


def _append(
    piece: Path, container: av.container.OutputContainer, streams: dict[int, Any], time_base: Fraction
) -> None:
    start = _start(piece)
    if start is None:
        return
    late = start - int(piece.stem.split("@")[1]) * time_base
    with av.open(str(piece), format=piece.suffix[1:]) as source:
        for stream in source.streams:
            if stream.index not in streams:
                streams[stream.index] = container.add_stream_from_template(stream)
                streams[stream.index].metadata.update(stream.metadata)
                if piece.suffix == ".mov":  # else the tag is lost that says which ProRes it is
                    streams[stream.index].codec_context.codec_tag = stream.codec_context.codec_tag
        for packet in source.demux():
            if packet.pts is None:
                continue
            # no encoder here reorders frames, but reading H.264 from NUT FFmpeg is not always sure of that
            packet.pts = packet.dts = packet.pts - round(late / packet.time_base)
            packet.stream = streams[packet.stream.index]
            container.mux(packet)


def _start(piece: Path) -> Fraction | None:
    """Seconds at which a piece's first frame lies; None where no frame got there.

    A MOV starts at 0 whatever it was given, and where audio starts before 0 everything is moved.
    """
    with av.open(str(piece), format=piece.suffix[1:]) as source:
        stream = source.streams.video[0]
        return next((p.pts * stream.time_base for p in source.demux(stream) if p.pts is not None), None)


def encoding_error(path: Path | str, error: Exception) -> Exception:
    """A full disk as what it is; anything else as a line about the output."""
    number = getattr(error, "errno", None)
    if number in DISK_ERRORS:
        return OSError(number, os.strerror(number), str(path))
    reason = getattr(error, "strerror", None) or str(error)
    return RunError(f"{path}: cannot be encoded ({reason}); another output format may do")
