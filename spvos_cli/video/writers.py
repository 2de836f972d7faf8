"""Where masks go: one small class a format. What a writer leaves behind when it is cut off is whole or
absent."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.video.reader import Frame, Source

OUTPUTS = "a folder, or a file that ends in .mp4"


class Segmented(NamedTuple):
    """A frame with its label map (H, W) uint8."""

    frame: Frame
    labels: np.ndarray


class Writer:
    """Takes segmented frames in order.

    Args:
        path: the folder or file to write.
        source: where the frames come from.
        palette: (256, 3) uint8, the colours of the ids.
    """

    def __init__(self, path: Path, source: Source, palette: np.ndarray) -> None:
        self.path, self.source, self.palette = path, source, palette

    def write(self, segmented: Segmented) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Finishes the output; called also when the run was cut short."""


class LabelFolder(Writer):
    """A folder of indexed PNGs named as the frames are."""

    def __init__(self, path: Path, source: Source, palette: np.ndarray) -> None:
        super().__init__(path, source, palette)
        path.mkdir(parents=True, exist_ok=True)

    def write(self, segmented: Segmented) -> None:
        image = Image.fromarray(segmented.labels, "P")
        image.putpalette(self.palette.ravel().tolist())
        target = self.path / f"{segmented.frame.name}.png"
        image.save(target.with_suffix(".part"), format="png")
        os.replace(target.with_suffix(".part"), target)


class OverlayVideo(Writer):
    """An H.264 video of the frames with their objects tinted; the source's times and audio."""

    def __init__(self, path: Path, source: Source, palette: np.ndarray) -> None:
        super().__init__(path, source, palette)
        self._part = path.with_name(path.name + ".part")
        self._container = av.open(str(self._part), "w", format="mp4")
        self._video = self._container.add_stream(
            "libx264", rate=source.rate, options={"crf": "18", "preset": "veryfast"}
        )
        self._video.width, self._video.height = (
            source.width + source.width % 2,
            source.height + source.height % 2,
        )
        self._video.pix_fmt = "yuv420p"
        self._video.time_base = self._video.codec_context.time_base = source.time_base
        self._audio = self._container.add_stream_from_template(source.audio) if source.audio else None
        self._container.start_encoding()  # opens the file: what is wrong with it shows now

    def write(self, segmented: Segmented) -> None:
        image = overlay(segmented.frame.image, segmented.labels, self.palette)
        frame = av.VideoFrame.from_ndarray(self._fit(image), format="rgb24")
        frame.pts, frame.time_base = segmented.frame.pts, self.source.time_base
        for packet in segmented.frame.audio:
            packet.stream = self._audio
            self._container.mux(packet)
        self._container.mux(self._video.encode(frame))

    def close(self) -> None:
        self._container.mux(self._video.encode(None))
        self._container.close()
        os.replace(self._part, self.path)

    def _fit(self, image: np.ndarray) -> np.ndarray:
        """To the first frame's size, and to even sides, which the pixel format needs."""
        size = (self.source.width, self.source.height)
        if image.shape[1::-1] != size:
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return np.pad(image, ((0, size[1] % 2), (0, size[0] % 2), (0, 0)), mode="edge")


def overlay(image: np.ndarray, labels: np.ndarray, palette: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """The frame with every object tinted in its colour and drawn around with a line."""
    tinted = cv2.addWeighted(image, 1 - alpha, palette[labels], alpha, 0)
    result = np.where((labels > 0)[..., None], tinted, image)
    outside = cv2.erode(labels, np.ones((3, 3), np.uint8)) != cv2.dilate(labels, np.ones((3, 3), np.uint8))
    result[outside & (labels > 0)] = palette[labels[outside & (labels > 0)]]
    return result


def writer_for(path: Path) -> type[Writer]:
    """The writer of an output, chosen by its suffix.

    Raises:
        InputError: there is none for the suffix.
    """
    if path.suffix.lower() == ".mp4":
        return OverlayVideo
    if path.suffix == "" or path.is_dir():
        return LabelFolder
    raise InputError(path, f"unknown suffix {path.suffix}", OUTPUTS, "-o OUT")


def check_output(path: Path, *, overwrite: bool) -> None:
    """Before anything is computed: can this be written?

    Raises:
        InputError: it exists and may not be overwritten, or its folder cannot be written to.
    """
    writer_for(path)
    exists = any(path.iterdir()) if path.is_dir() else path.exists()
    if exists and not overwrite:
        raise InputError(path, "it exists already", "an output that does not", "--overwrite, or -o OUT")
    if path.suffix and not path.absolute().parent.is_dir():
        raise InputError(path, f"no folder {path.parent}", "a file in a folder that exists", "-o OUT")
    folder = next(folder for folder in [path, *path.absolute().parents] if folder.is_dir())
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        found = f"nothing can be written in {folder} ({error.strerror})"
        raise InputError(path, found, "a folder that you may write to", "-o OUT") from error
