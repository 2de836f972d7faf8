"""Videos that survive being cut off: written as pieces that play as far as they go, joined at the end."""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from spvos_cli.errors import RunError
from spvos_cli.files import atomic_path
from spvos_cli.video.frames import Frame
from spvos_cli.video.writers.join import SOUND_LATE, SOUND_SUFFIX, Joint, join, start_time
from spvos_cli.video.writers.sound import add_carrier, holds, is_sound
from spvos_cli.video.writers.writer import PartWriter, SegmentedFrame, Setting

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG}
# each frame goes to the file at once, whatever other streams have to say
PIECE_OPTIONS = {"flush_packets": "1", "max_interleave_delta": "1"}


class VideoFormat(NamedTuple):
    """Attributes: name, FFmpeg's, of the joined file; piece, of what it is joined from; piece_options."""

    name: str
    piece: str
    piece_options: dict[str, str]


# NUT is whole after every packet and keeps any time base; it has no ProRes and no alpha beside VP9
MP4 = VideoFormat("mp4", "nut", {})
MATROSKA = VideoFormat("matroska", "nut", {})
WEBM = VideoFormat("webm", "webm", {"cluster_time_limit": "1"})
MOV = VideoFormat("mov", "mov", {"movflags": "empty_moov+frag_every_frame+default_base_moof"})


class PieceVideo(PartWriter):
    """A video in the folder PATH.part, a piece from one checkpoint to the next, until it is closed.

    A piece is named after its first frame and that frame's time.
    """

    format: VideoFormat
    with_audio = False

    def __init__(self, path: Path, setting: Setting, saved: dict[str, Any] | None = None) -> None:
        super().__init__(path, setting, saved)
        left = saved["frame"] if saved else 0
        for piece in self._pieces():
            if first_frame(piece) >= left:
                piece.unlink()
                piece.with_suffix(SOUND_SUFFIX).unlink(missing_ok=True)
        self._container: OutputContainer | None = None
        self._sounds: tuple[AudioStream, ...] = ()
        self._encoded: tuple[AudioStream, ...] = ()
        self._skipped = Fraction(0)
        if self.with_audio:
            self._choose_sounds()

    def add_video(self, container: OutputContainer) -> VideoStream:
        """The encoder."""
        raise NotImplementedError

    def tag(self, encoder: VideoCodecContext) -> None:
        """What the file says about its colours."""
        raise NotImplementedError

    def picture(self, segmented: SegmentedFrame) -> av.VideoFrame:
        """What is shown."""
        raise NotImplementedError

    def write(self, segmented: SegmentedFrame) -> None:
        try:
            container = self._container or self._open(segmented.frame)
            self._write_sound(segmented.frame.audio)
            frame = self.picture(segmented)
            frame.pts, frame.time_base = segmented.frame.pts, self.source.time_base
            container.mux(self._video.encode(frame))
        except (av.FFmpegError, ValueError) as error:
            raise encoding_error(self.path, error) from error

    def checkpoint(self, frame: int) -> dict[str, Any]:
        self._end_piece()
        return {"frame": frame}

    def close(self) -> None:
        if self._container is not None:
            self._write_sound(self.source.rest)
        self._end_piece()
        if pieces := [piece for piece in self._pieces() if start_time(piece) is not None]:
            try:
                self._join(pieces)
            except (av.FFmpegError, ValueError) as error:
                raise encoding_error(self.path, error) from error

    def _join(self, pieces: list[Path]) -> None:
        joint = Joint(self.format.name, self.source, self._skipped, self._sounds, self._encoded, self.tag)
        try:
            with atomic_path(self.path) as part:
                join(pieces, part, joint)
        except (av.FFmpegError, ValueError) as error:  # some sound shows at the end only that it does not fit
            if self._encoded == self._sounds or getattr(error, "errno", None) in DISK_ERRORS:
                raise
            self.note(f"{self.path}: {self.format.name} does not take its audio after all: it becomes AAC")
            with atomic_path(self.path) as part:
                join(pieces, part, dataclasses.replace(joint, encoded=self._sounds))

    def _pieces(self) -> list[Path]:
        return sorted(self.folder.glob(f"*.{self.format.piece}"), key=first_frame)

    def _open(self, frame: Frame) -> OutputContainer:
        shown = frame.pts * self.source.time_base
        self._skipped = self.source.begins + Fraction(frame.seconds).limit_denominator(10**6) - shown
        path = self.folder / f"{frame.index:08d}@{frame.pts}.{self.format.piece}"
        options = PIECE_OPTIONS | self.format.piece_options
        container = av.open(str(path), "w", format=self.format.piece, container_options=options)
        self._container = container
        self._video = self.add_video(container)
        self._video.time_base = self._video.codec_context.time_base = self.source.time_base
        self._video.codec_context.sample_aspect_ratio = self.source.pixel_aspect
        self._sound_container, self._sound_late = container, Fraction(0)
        if self._sounds and self.format.piece != "nut":
            beside = path.with_suffix(SOUND_SUFFIX)
            self._sound_container = av.open(str(beside), "w", format="nut", container_options=PIECE_OPTIONS)
            self._sound_late = SOUND_LATE
        self._tracks = {s.index: add_carrier(self._sound_container, s) for s in self._sounds}
        return container

    def _write_sound(self, packets: Iterable[Packet[AudioStream]]) -> None:
        """Several outputs share packets, and each writes copies."""
        for packet in packets:
            track = self._tracks.get(packet.stream.index)
            if track and packet.pts is not None and packet.dts is not None:
                copy = Packet(bytes(packet))
                late = round(self._sound_late / packet.time_base)
                copy.pts, copy.dts, copy.duration = packet.pts + late, packet.dts + late, packet.duration
                copy.time_base, copy.is_keyframe, copy.stream = packet.time_base, packet.is_keyframe, track
                for data in packet.iter_sidedata():  # how much of it is priming
                    copy.set_sidedata(data)
                self._sound_container.mux(copy)

    def _end_piece(self) -> None:
        container, self._container = self._container, None
        if container is None:
            return
        try:
            container.mux(self._video.encode(None))
            container.close()
            if self._sound_container is not container:
                self._sound_container.close()
        except (av.FFmpegError, ValueError) as error:
            raise encoding_error(self.path, error) from error

    def _choose_sounds(self) -> None:
        """The source's audio streams, and those of them that the file does not hold as they are."""
        for stream in self.source.audio:
            name = stream.codec_context.name
            if not is_sound(stream):
                self.note(f"{self.path}: the source's audio is damaged and is left out")
            else:
                self._sounds += (stream,)
                if not holds(self.format.name, stream):
                    self._encoded += (stream,)
                    self.note(f"{self.path}: {self.format.name} holds no {name}: its audio becomes AAC")


def first_frame(piece: Path) -> int:
    """The number of a piece's first frame."""
    return int(piece.name.split("@")[0])


def encoding_error(path: Path | str, error: Exception) -> Exception:
    """A full disk as what it is; anything else as a line about the output."""
    number = getattr(error, "errno", None)
    if number in DISK_ERRORS:
        return OSError(number, os.strerror(number), str(path))
    reason = getattr(error, "strerror", None) or str(error)
    return RunError(f"{path}: cannot be encoded ({reason}); another output format may do")
