"""Decoded frames as upright RGB of 8 bits, whatever their pixels are: one way for all frames of a video."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.sidedata.sidedata import Type

from spvos_cli.video.colours import BT709, HD_LINES, HLG, PQ, UNSPECIFIED, Colours
from spvos_cli.video.frames import Note
from spvos_cli.video.orientation import UPRIGHT, Orientation
from spvos_cli.video.samples import SampleRange, check_range_is_of_use, measured_range
from spvos_cli.video.side_data import UnknownSideData, side_data_of
from spvos_cli.video.tone import Toner

GREY = "gray"
MOST_ASPECT = 16


class Pictures:
    """How the pictures of one video become RGB, settled by its first frame.

    Args:
        first: that frame.
        label: of the video, for messages.
        aspect: of its pixels, as the container says.
        given: what --range says.
        note: takes remarks about what was settled.

    Attributes:
        colours: what the RGB means.
        orientation: how pictures are turned.
        pixel_aspect: width of a pixel over its height, upright.
    """

    def __init__(
        self,
        first: av.VideoFrame,
        label: str,
        aspect: Fraction | None,
        given: SampleRange | None,
        note: Note,
    ) -> None:
        tags = (first.colorspace, first.color_primaries, first.color_trc, first.color_range)
        self.colours = Colours.of_tags(first.height, *map(int, tags))
        self.orientation = orientation_of(first)
        aspect = aspect or Fraction(1)
        aspect = aspect if Fraction(1, MOST_ASPECT) <= aspect <= MOST_ASPECT else Fraction(1)
        self.pixel_aspect = 1 / aspect if self.orientation.on_its_side else aspect
        self._transfer = int(first.color_trc)
        self._toner: Toner | None = None
        if self._transfer in (PQ, HLG):
            note(f"{label}: HDR ({'PQ' if self._transfer == PQ else 'HLG'}), toned down to SDR (BT.709)")
        check_range_is_of_use(given, deep=is_deep_format(first.format))
        self._range = given
        if is_deep_format(first.format) and given is None:
            self._range = measured_range([deep_samples(first)])
            bits = "float" if is_float(first.format) else "16-bit"
            note(f"{label}: {bits} samples, shown from {self._range} on (--range LOW,HIGH is another choice)")
        self._matrix = None
        if int(first.colorspace) == UNSPECIFIED and first.height >= HD_LINES:
            self._matrix = BT709  # where swscale would take BT.601

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """(H, W, 3) uint8, RGB, upright."""
        return self.orientation.apply(self._rgb(frame))

    def _rgb(self, frame: av.VideoFrame) -> np.ndarray:
        if self._range is not None and is_deep_format(frame.format):
            grey_or_rgb = self._range.to_bytes(deep_samples(frame))
            return np.dstack([grey_or_rgb] * 3) if grey_or_rgb.ndim == 2 else grey_or_rgb
        if self._transfer in (PQ, HLG):
            return self._toned(frame)
        alpha = any(component.is_alpha for component in frame.format.components)
        plain = frame.reformat(format="rgba" if alpha else "rgb24", src_colorspace=self._matrix)
        return on_black(np.asarray(plain.to_ndarray())) if alpha else np.asarray(plain.to_ndarray())

    def _toned(self, frame: av.VideoFrame) -> np.ndarray:
        self._toner = self._toner or Toner(self._transfer)
        return self._toner(frame)


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """From the display matrix that comes with a frame; where PyAV gives its angle alone, from that."""
    try:
        matrix = side_data_of(frame, Type.DISPLAYMATRIX)
    except UnknownSideData:
        return Orientation(turns=round(frame.rotation / 90) % 4)
    return Orientation.of_matrix(matrix) if matrix else UPRIGHT


def on_black(rgba: np.ndarray) -> np.ndarray:
    """(H, W, 4) uint8 -> (H, W, 3) uint8: what is clear is black, whatever colour lies under it."""
    alpha = rgba[..., 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(rgba[..., :3])
    return np.asarray(((rgba[..., :3].astype(np.uint16) * alpha + 127) // 255).astype(np.uint8))


def is_float(form: av.VideoFormat) -> bool:
    """Whether samples are floats."""
    return "f32" in form.name or "f16" in form.name


def is_deep_format(form: av.VideoFormat) -> bool:
    """Whether samples may use any part of their range: floats, and grey of more than 8 bits, as cameras of
    laboratories give it; colours of 10 to 16 bits use all of it."""
    bits = max((component.bits for component in form.components), default=8)
    return is_float(form) or (form.name.startswith(GREY) and bits > 8)


def deep_samples(frame: av.VideoFrame) -> np.ndarray:
    """(H, W) or (H, W, 3) uint16 or float32; grey of 9 to 14 bits is widened to 16."""
    if frame.format.name.startswith(GREY):
        form = "grayf32le" if is_float(frame.format) else "gray16le"
    else:
        form = "gbrpf32le"
    return np.asarray(frame.to_ndarray(format=form))
