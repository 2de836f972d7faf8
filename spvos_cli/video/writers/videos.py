"""The videos that can be written: overlay, labels, cut-out."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from spvos_cli.errors import ReaderGone
from spvos_cli.video.colours import FULL, LIMITED, Colours
from spvos_cli.video.frames import Source
from spvos_cli.video.matte import soft_alpha
from spvos_cli.video.paint import cut_out, paint_overlay, resize_to
from spvos_cli.video.writers.matroska import ROOM, with_pixel_aspect
from spvos_cli.video.writers.pieces import MATROSKA, MOV, MP4, WEBM, PieceVideo, encoding_error
from spvos_cli.video.writers.stdout import STDOUT_NAME, to_stdout
from spvos_cli.video.writers.writer import SegmentedFrame, Setting, Writer
from spvos_cli.video.writers.yuv import YuvConverter


class ColourVideo(PieceVideo):
    """A video of pictures in colour; the source's times, pixel aspect and colours.

    Attributes:
        pixels: the encoder's format, as FFmpeg names it.
    """

    pixels: str

    def __init__(self, path: Path, setting: Setting, saved: dict[str, Any] | None = None) -> None:
        super().__init__(path, setting, saved)
        self._converter = YuvConverter(self.width, self.height, self.pixels, self.colours)

    @property
    def width(self) -> int:
        return self.source.width

    @property
    def height(self) -> int:
        return self.source.height

    @property
    def colours(self) -> Colours:
        """What the file says about its colours."""
        return self.source.colours

    def add_encoder(self, container: OutputContainer) -> VideoStream:
        """The encoder, but for its size and colours."""
        raise NotImplementedError

    def image(self, segmented: SegmentedFrame) -> np.ndarray:
        """What is shown, (H, W, 3) RGB or (H, W, 4) RGBA."""
        raise NotImplementedError

    def add_video(self, container: OutputContainer) -> VideoStream:
        stream = self.add_encoder(container)
        stream.width, stream.height, stream.pix_fmt = self.width, self.height, self.pixels
        self.tag(stream.codec_context)
        return stream

    def tag(self, encoder: VideoCodecContext) -> None:
        self._converter.tag(encoder)

    def picture(self, segmented: SegmentedFrame) -> av.VideoFrame:
        return self._converter.convert(self.image(segmented))


class OverlayVideo(ColourVideo):
    """H.264 of the frames with their objects tinted; also the source's audio."""

    format, pixels, with_audio = MP4, "yuv420p", True

    @property
    def width(self) -> int:
        return self.source.width + self.source.width % 2

    @property
    def height(self) -> int:
        return self.source.height + self.source.height % 2

    def add_encoder(self, container: OutputContainer) -> VideoStream:
        # without look-ahead a frame is in the file as soon as it is written
        options = {"crf": "18", "preset": "veryfast", "tune": "zerolatency"}
        return container.add_stream("libx264", rate=self.source.rate, options=options)

    def image(self, segmented: SegmentedFrame) -> np.ndarray:
        width, height = self.source.width, self.source.height
        image = resize_to(paint_overlay(segmented.frame.image, segmented.labels, self.look), width, height)
        return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


class LabelVideo(PieceVideo):
    """Lossless: a grey FFV1 frame whose values are the ids."""

    format = MATROSKA

    def add_video(self, container: OutputContainer) -> VideoStream:
        return add_labels(container, self.source)

    def tag(self, encoder: VideoCodecContext) -> None:
        encoder.color_range = FULL

    def picture(self, segmented: SegmentedFrame) -> av.VideoFrame:
        return label_picture(segmented, self.source)


class ProResCutout(ColourVideo):
    """ProRes 4444 with an alpha channel, for editing."""

    format, pixels, with_audio, uses_soft = MOV, "yuva444p10le", True, True

    @property
    def colours(self) -> Colours:
        return self.source.colours._replace(range=LIMITED)  # as editors take all ProRes

    def add_encoder(self, container: OutputContainer) -> VideoStream:
        return container.add_stream("prores_ks", rate=self.source.rate, options={"profile": "4444"})

    def image(self, segmented: SegmentedFrame) -> np.ndarray:
        return cutout_picture(segmented, self.source)


class Vp9Cutout(ColourVideo):
    """VP9 with an alpha channel, for the web."""

    format, pixels, uses_soft = WEBM, "yuva420p", True

    def add_encoder(self, container: OutputContainer) -> VideoStream:
        options = {"auto-alt-ref": "0", "lag-in-frames": "0", "deadline": "realtime", "cpu-used": "5"}
        options |= {"crf": "24", "b": "0"}
        return container.add_stream("libvpx-vp9", rate=self.source.rate, options=options)

    def image(self, segmented: SegmentedFrame) -> np.ndarray:
        return cutout_picture(segmented, self.source)


class Pipe:
    """Standard output as FFmpeg writes to it: no seeking, and each part goes on at once.

    Args:
        pixel_aspect: for the header, which is written first.
    """

    def __init__(self, pixel_aspect: Fraction) -> None:
        self._pixel_aspect = pixel_aspect

    def write(self, data: bytes) -> int:
        changed = with_pixel_aspect(data, self._pixel_aspect) if self._pixel_aspect != 1 else data
        if changed != data:
            self._pixel_aspect = Fraction(1)
        to_stdout(changed)
        return len(data)


class LabelPipe(Writer):
    """The label video on standard output, as Matroska, which `ffmpeg -i -` reads."""

    def __init__(self, path: Path, setting: Setting, saved: dict[str, Any] | None = None) -> None:
        super().__init__(path, setting, saved)
        options = {"cluster_time_limit": "1", "flush_packets": "1", "write_crc32": "0"}
        pipe = Pipe(self.source.pixel_aspect)
        self._container = av.open(pipe, "w", format="matroska", container_options=options)
        self._video = add_labels(self._container, self.source)
        if self.source.pixel_aspect != 1:
            self._video.metadata["title"] = ROOM
        self._video.time_base = self._video.codec_context.time_base = self.source.time_base
        self._broken = False

    def write(self, segmented: SegmentedFrame) -> None:
        frame = label_picture(segmented, self.source)
        frame.pts, frame.time_base = segmented.frame.pts, self.source.time_base
        self._mux(frame)

    def close(self) -> None:
        if not self._broken:
            self._mux(None)
            self._container.close()

    def _mux(self, frame: av.VideoFrame | None) -> None:
        try:
            self._container.mux(self._video.encode(frame))
        except (av.FFmpegError, OSError, ValueError, ReaderGone) as error:
            self._broken = True
            raise error if isinstance(error, ReaderGone) else encoding_error(STDOUT_NAME, error) from error


def add_labels(container: OutputContainer, source: Source) -> VideoStream:
    """An FFV1 encoder of grey frames; every frame stands alone and has a checksum."""
    options = {"level": "3", "g": "1", "slicecrc": "1"}
    stream = container.add_stream("ffv1", rate=source.rate, options=options)
    stream.width, stream.height, stream.pix_fmt = source.width, source.height, "gray"
    stream.codec_context.color_range = FULL
    return stream


def label_picture(segmented: SegmentedFrame, source: Source) -> av.VideoFrame:
    """Grey, the ids as values."""
    labels = resize_to(segmented.labels, source.width, source.height, cv2.INTER_NEAREST)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(labels), format="gray")
    frame.color_range = FULL
    return frame


def cutout_picture(segmented: SegmentedFrame, source: Source) -> np.ndarray:
    """(H, W, 4) RGBA, at the size of the source's first frame."""
    alpha = soft_alpha(segmented.labels, segmented.facts.soft)
    alpha, image = (resize_to(x, source.width, source.height) for x in (alpha, segmented.frame.image))
    return cut_out(image, alpha, rim=True)
