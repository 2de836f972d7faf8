"""The source's sound in an output: copied where its container holds it, else encoded again."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import av
import av.filter
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)  # of AAC
USUAL_RATE = 48000
LAYOUTS = {1: "mono", 2: "stereo"}  # many files say how many channels, and not which


def is_sound(stream: AudioStream) -> bool:
    """Whether a stream says enough about itself to be written."""
    return bool(stream.codec_context.channels and stream.codec_context.sample_rate)


def holds(format: str, stream: AudioStream) -> bool:
    """Whether a container holds a stream as it is: some codecs it knows, and refuses with its header."""
    name = stream.codec_context.name
    if format == "mov" and name.startswith("amr"):
        return False  # whose packets FFmpeg writes as one frame each, however many are in them
    if format == "mp4" and name.startswith("pcm_"):
        return False  # as `ipcm`, which browsers and most players are silent at
    try:
        container = av.open(io.BytesIO(), "w", format=format)
        container.add_stream_from_template(stream)
        container.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def add_carrier(container: OutputContainer, stream: AudioStream) -> AudioStream:
    """A track for a stream's packets in a NUT file, which is read by who knows what they are: NUT has no name
    for some codecs, and they go by that of another."""
    if holds("nut", stream):
        return container.add_stream_from_template(stream)
    carrier = container.add_stream("pcm_u8", rate=stream.codec_context.sample_rate)
    if stream.time_base:
        carrier.time_base = stream.time_base
    return carrier


class AacEncoder:
    """Makes AAC of a track's packets; silence fills its gaps.

    Args:
        container: gets the track.
        original: the source's track, whose packets come, from whatever container.
    """

    def __init__(self, container: OutputContainer, original: AudioStream) -> None:
        decoder = original.codec_context
        rate = decoder.sample_rate if decoder.sample_rate in RATES else USUAL_RATE
        layout = LAYOUTS.get(decoder.channels, decoder.layout.name)
        self.stream = container.add_stream("aac", rate=rate, layout=layout)
        self._decoder: AudioCodecContext = decoder
        self._shape = f"sample_fmts=fltp:sample_rates={rate}:channel_layouts={layout}"
        self._graph: av.filter.Graph | None = None

    def encode(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        """The next packet as AAC, as far as there is enough for a frame of it."""
        try:
            frames = self._decoder.decode(packet)
        except av.FFmpegError:  # a damaged packet is silence
            return
        for frame in frames:
            yield from self._encode(frame)

    def flush(self) -> list[Packet[Any]]:
        """The rest."""
        rest = [] if self._graph is None else [*self._filtered(None)]
        return [
            *(packet for frame in rest for packet in self.stream.encode(frame)),
            *self.stream.encode(None),
        ]

    def _encode(self, frame: AudioFrame) -> Iterator[Packet[Any]]:
        if self._graph is None:
            self._graph = av.filter.Graph()
            source = self._graph.add_abuffer(
                sample_rate=frame.sample_rate,
                format=frame.format.name,
                layout=frame.layout.name,
                time_base=frame.time_base,
            )
            steady = self._graph.add("aresample", "async=1000")
            shape, sink = self._graph.add("aformat", self._shape), self._graph.add("abuffersink")
            self._graph.link_nodes(source, steady, shape, sink).configure()
        for steady_frame in self._filtered(frame):
            yield from self.stream.encode(steady_frame)

    def _filtered(self, unsteady: AudioFrame | None) -> Iterator[AudioFrame]:
        assert self._graph is not None
        self._graph.push(unsteady)
        while True:
            try:
                frame = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            assert isinstance(frame, AudioFrame)
            yield frame
