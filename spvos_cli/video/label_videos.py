"""The frames of a label video as images: its pixels as they are, where they are ids."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.video.frames import check_size
from spvos_cli.video.pictures import orientation_of
from spvos_cli.video.tracks import TrackDecoder

WITH_ALPHA = ("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya")
EXACT = ("exr", "jpegls")  # of the codecs that can lose something
A_LABEL_VIDEO = "a mask, or a video of masks"


def label_images(path: Path) -> Iterator[Image.Image]:
    """An image a frame, as a mask's file would be: grey values, or colours; `info` has its time in seconds.

    Raises:
        InputError: nothing in it can be decoded.
    """
    try:
        with av.open(str(path), options={"protocol_whitelist": "file"}) as container:
            best = container.streams.best("video")
            stream = next((s for s in container.streams.video if best and s.index == best.index), None)
            if stream is None or stream.codec_context is None:
                raise ValueError("no picture in it")
            codec = stream.codec_context.codec
            lossy = codec.lossy and codec.name not in EXACT
            decoder = TrackDecoder(stream)
            for frame in (frame for packet in container.demux(stream) for frame in decoder.decode(packet)):
                check_size(frame.width, frame.height, path, "--mask MASK")
                image = Image.fromarray(orientation_of(frame).apply(_pixels(frame)))
                image.info["seconds"] = float(frame.time or 0)
                image.format = "JPEG" if lossy else "PNG"  # what MaskReader asks whether colours are exact
                yield image
    except (av.FFmpegError, ValueError, OSError, MemoryError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            path, found=f"not readable as a video ({reason})", expected=A_LABEL_VIDEO, fix="--mask MASK"
        ) from error


def _pixels(frame: av.VideoFrame) -> np.ndarray:
    if frame.format.name == "gray":
        return np.asarray(frame.to_ndarray(format="gray"))
    return np.asarray(
        frame.to_ndarray(format="rgba" if frame.format.name.startswith(WITH_ALPHA) else "rgb24")
    )
