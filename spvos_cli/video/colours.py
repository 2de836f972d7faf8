"""What a source says about its colours, in the numbers of ITU-T H.273 that FFmpeg and containers use."""

from __future__ import annotations

from typing import NamedTuple

UNSPECIFIED, BT709, BT601_PAL, BT601_NTSC, BT2020 = 2, 1, 5, 6, 9
RGB, BT2020_10_BIT, PQ, HLG = 0, 14, 16, 18
LIMITED, FULL = 1, 2
HD_LINES = 720  # from here on what says nothing is BT.709, as players take it
PAL_LINES = (288, 576)


class Colours(NamedTuple):
    """How a frame's RGB becomes YUV and what its values mean; nothing in it is unspecified.

    Attributes:
        matrix: of YUV: 1 BT.709, 5 or 6 BT.601, 9 BT.2020.
        primaries: 1 BT.709, 5 or 6 BT.601, 9 BT.2020, 12 Display P3.
        transfer: 1 BT.709, 6 BT.601, 13 sRGB, 14 BT.2020 in 10 bits.
        range: 1 limited (16 to 235), 2 full.
    """

    matrix: int
    primaries: int
    transfer: int
    range: int = LIMITED

    @classmethod
    def of_size(cls, height: int) -> Colours:
        """What players assume where a file says nothing: BT.709 from 720 lines on, below it BT.601."""
        if height >= HD_LINES:
            return cls(BT709, BT709, BT709)
        lines = BT601_PAL if height in PAL_LINES else BT601_NTSC
        return cls(lines, lines, BT601_NTSC)

    @classmethod
    def of_tags(cls, height: int, matrix: int, primaries: int, transfer: int, range: int) -> Colours:
        """A source's own tags, with what they leave open filled in; what is HDR is toned down when it is
        read, so that its frames are BT.709."""
        if transfer in (PQ, HLG):
            return cls(BT709, BT709, BT709, LIMITED)
        matrix = matrix if matrix in (BT709, BT601_PAL, BT601_NTSC, BT2020) else UNSPECIFIED
        default = _BY_MATRIX.get(matrix, cls.of_size(height))
        return cls(
            default.matrix,
            default.primaries if primaries in (0, UNSPECIFIED) else primaries,
            default.transfer if transfer in (0, UNSPECIFIED) else transfer,
            FULL if range == FULL else LIMITED,
        )


_BY_MATRIX = {
    BT709: Colours(BT709, BT709, BT709),
    BT601_PAL: Colours(BT601_PAL, BT601_PAL, BT601_NTSC),
    BT601_NTSC: Colours(BT601_NTSC, BT601_NTSC, BT601_NTSC),
    BT2020: Colours(BT2020, BT2020, BT2020_10_BIT),
}
