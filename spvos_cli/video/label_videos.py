"""The frames of a label video as images: its pixels as they are, where they are ids."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.video.frames import check_size

WITH_ALPHA = ("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya")
LOSSY = ("h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mjpeg", "prores")
A_LABEL_VIDEO = "a mask, or a video of masks"


def label_images(path: Path) -> Iterator[Image.Image]:
    """An image a frame, as a mask's file would be: grey values, or colours.

    Raises:
        InputError: nothing in it can be decoded.
    """
    try:
        with av.open(str(path), options={"protocol_whitelist": "file"}) as container:
            tracks = container.streams.video
            best = container.streams.best("video")
            stream = next((track for track in tracks if best and track.index == best.index), None)
            if stream is None or stream.codec_context is None:
                raise ValueError("no picture in it")
            lossy = stream.codec_context.name.removeprefix("lib") in LOSSY
            for frame in container.decode(video=tracks.index(stream)):
                check_size(frame.width, frame.height, path, "--mask MASK")
                image = Image.fromarray(_pixels(frame))
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
