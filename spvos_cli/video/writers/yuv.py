"""RGB pictures as an encoder's YUV, by the matrix and range that the file says, which holds their tags."""

from __future__ import annotations

import av
import av.filter
import numpy as np
from av.video.codeccontext import VideoCodecContext

from spvos_cli.video.colours import BT601_NTSC, BT601_PAL, BT709, BT2020, FULL, LIMITED, Colours

MATRICES = {BT709: "bt709", BT601_PAL: "bt601", BT601_NTSC: "bt601", BT2020: "bt2020"}
RANGES = {LIMITED: "limited", FULL: "full"}
FLAGS = "bilinear+accurate_rnd+full_chroma_inp"  # swscale's default is up to 3 levels off


class YuvConverter:
    """Converts pictures of one size.

    Args:
        width, height: in pixels.
        pixels: FFmpeg's name of the format that comes out, with an A where pictures are RGBA.
        colours: what comes out; pictures have its primaries and transfer already.
    """

    def __init__(self, width: int, height: int, pixels: str, colours: Colours) -> None:
        self.colours = colours
        self._input = "rgba" if "yuva" in pixels else "rgb24"
        graph = av.filter.Graph()
        size = f"video_size={width}x{height}:pix_fmt={self._input}:time_base=1/1000"
        matrix, range = MATRICES[colours.matrix], RANGES[colours.range]
        scale = f"out_color_matrix={matrix}:out_range={range}:flags={FLAGS}"
        chain = [
            graph.add("buffer", size),
            graph.add("scale", scale),
            graph.add("format", f"pix_fmts={pixels}"),
        ]
        chain.append(graph.add("buffersink"))
        graph.link_nodes(*chain).configure()
        self._source, self._sink, self._graph = chain[0], chain[-1], graph

    def convert(self, image: np.ndarray) -> av.VideoFrame:
        """(H, W, 3) RGB or (H, W, 4) RGBA, uint8, as a frame that bears the tags."""
        self._source.push(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=self._input))
        frame = self._sink.pull()
        assert isinstance(frame, av.VideoFrame)
        frame.colorspace, frame.color_range = self.colours.matrix, self.colours.range
        frame.color_primaries, frame.color_trc = self.colours.primaries, self.colours.transfer
        return frame

    def tag(self, encoder: VideoCodecContext) -> None:
        """Before the encoder opens: what it says about its colours."""
        encoder.colorspace, encoder.color_range = self.colours.matrix, self.colours.range
        encoder.color_primaries, encoder.color_trc = self.colours.primaries, self.colours.transfer
