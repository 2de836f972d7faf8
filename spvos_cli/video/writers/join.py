"""Pieces of a video as one file, with what the source says about itself."""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from spvos_cli.video.frames import Source
from spvos_cli.video.timecode import later_timecode
from spvos_cli.video.writers.matroska import HEADER_BYTES, ROOM, with_pixel_aspect
from spvos_cli.video.writers.sound import AacEncoder

OWN_KEYS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}  # of the container

SOUND_SUFFIX = ".sound"  # NUT beside a piece that can hold no sound of its own
SOUND_LATE = Fraction(10)  # seconds that it is late, as NUT knows no times before 0


@dataclasses.dataclass(frozen=True)
class Joint:
    """What a joined file is and says.

    Attributes:
        format: FFmpeg's name.
        source: that its metadata are of.
        skipped: seconds of the source before its first frame.
        sounds: the source's audio streams that the pieces hold, after the video.
        encoded: those of them that the format does not hold as they are, and that become AAC.
        tag: sets what the video says about its colours.
    """

    format: str
    source: Source
    skipped: Fraction
    sounds: tuple[AudioStream, ...]
    encoded: tuple[AudioStream, ...]
    tag: Callable[[VideoCodecContext], None]

    @property
    def is_matroska(self) -> bool:
        return self.format in ("matroska", "webm")


def join(pieces: list[Path], target: Path, joint: Joint) -> None:
    """Puts pieces one after the other into one container, as they are encoded."""
    # bitexact: the same video makes the same file, without random ids
    options = {"write_crc32": "0", "fflags": "bitexact"} if joint.is_matroska else {}
    with av.open(str(target), "w", format=joint.format, container_options=options) as container:
        _describe(container, joint)
        tracks: dict[int, Stream | AacEncoder] = {}
        for piece in pieces:
            _append(piece, container, tracks, joint)
        for track in tracks.values():
            container.mux(track.flush() if isinstance(track, AacEncoder) else [])
    if joint.is_matroska and joint.source.pixel_aspect != 1:
        with target.open("r+b") as file:
            header = with_pixel_aspect(file.read(HEADER_BYTES), joint.source.pixel_aspect)
            file.seek(0)
            file.write(header)


def _describe(container: OutputContainer, joint: Joint) -> None:
    """Title, dates, chapters and time code of the source."""
    source = joint.source
    metadata = {key: text for key, text in source.metadata.items() if key not in OWN_KEYS}
    if source.timecode:
        metadata["timecode"] = later_timecode(source.timecode, joint.skipped, source.rate)
    container.metadata.update(metadata)
    chapters = []
    for chapter in source.chapters:
        unit = chapter["time_base"] or Fraction(1, 1000)
        begin, end = (chapter[side] - round(joint.skipped / unit) for side in ("start", "end"))
        if end > 0:
            chapters.append(chapter | {"start": max(0, begin), "end": end})
    container.set_chapters(chapters)


def _append(
    piece: Path, container: OutputContainer, tracks: dict[int, Stream | AacEncoder], joint: Joint
) -> None:
    start = start_time(piece)
    if start is None:
        return
    late = start - int(piece.stem.split("@")[1]) * joint.source.time_base
    with contextlib.ExitStack() as stack:
        files = [(stack.enter_context(av.open(str(piece), format=piece.suffix[1:])), late)]
        beside = piece.with_suffix(SOUND_SUFFIX)
        with contextlib.suppress(av.FFmpegError):  # none, or a killed run's without a header
            files.append((stack.enter_context(av.open(str(beside), format="nut")), SOUND_LATE))
        for file, _ in files:
            for stream in file.streams:
                if _number(stream) not in tracks:
                    tracks[_number(stream)] = _add_track(container, stream, joint)
        readers = [_packets(file, late) for file, late in files]
        for packet in heapq.merge(*readers, key=_time):
            for ready in _for_track(packet, tracks[_number(packet.stream)]):
                container.mux(ready)


def _packets(file: InputContainer, late: Fraction) -> Iterator[Packet[Any]]:
    """A piece's, earlier by so many seconds."""
    for packet in file.demux():
        if packet.pts is not None:
            # no encoder here reorders frames, but reading H.264 from NUT FFmpeg is not always sure of that
            packet.pts = packet.dts = packet.pts - round(late / packet.time_base)
            yield packet


def _time(packet: Packet[Any]) -> Fraction:
    return (packet.pts or 0) * packet.time_base


def _number(stream: Stream) -> int:
    """0 for the video, from 1 on for sound, whatever file it is in."""
    return [*stream.container.streams.audio].index(stream) + 1 if isinstance(stream, AudioStream) else 0


def _add_track(container: OutputContainer, stream: Stream, joint: Joint) -> Stream | AacEncoder:
    if isinstance(stream, AudioStream):
        return _add_sound(container, joint.sounds[_number(stream) - 1], joint)
    assert isinstance(stream, VideoStream)
    track = container.add_stream_from_template(stream)
    track.metadata.update(stream.metadata)
    context = track.codec_context
    joint.tag(context)
    context.framerate, context.sample_aspect_ratio = joint.source.rate, joint.source.pixel_aspect
    if stream.container.format.name.startswith("mov"):  # else the tag is lost that says which ProRes it is
        context.codec_tag = stream.codec_context.codec_tag
    if joint.is_matroska and joint.source.pixel_aspect != 1:
        track.metadata["title"] = ROOM
    return track


def _add_sound(container: OutputContainer, original: AudioStream, joint: Joint) -> AudioStream | AacEncoder:
    if original in joint.encoded:
        encoder = AacEncoder(container, original)
        _name(encoder.stream, original)
        return encoder
    track = container.add_stream_from_template(original)  # NUT does not tell all codecs and channels apart
    _name(track, original)
    return track


def _name(track: AudioStream, original: AudioStream) -> None:
    """Language and title of a sound track, and which one players take."""
    track.metadata.update({k: v for k, v in original.metadata.items() if k in ("language", "title")})
    track.disposition = original.disposition


def _for_track(packet: Packet[Any], track: Stream | AacEncoder) -> Iterator[Packet[Any]]:
    if isinstance(track, AacEncoder):
        yield from track.encode(packet)
    else:
        packet.stream = track
        yield packet


def start_time(piece: Path) -> Fraction | None:
    """Seconds at which a piece's first frame lies; None where no frame got there.

    A MOV starts at 0 whatever it was given, and where audio starts before 0 everything is moved.
    """
    try:
        with av.open(str(piece), format=piece.suffix[1:]) as source:
            stream = source.streams.video[0]
            times = (p.pts * p.time_base for p in source.demux(stream) if p.pts is not None)
            return next(times, None)
    except (av.InvalidDataError, av.EOFError, IndexError):  # a killed run's, without a header
        return None
