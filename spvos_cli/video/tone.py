"""HDR video (PQ and HLG, BT.2020) as SDR (BT.709): FFmpeg looks colours up in a table that is made here."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np

from spvos_cli.video.colours import HLG

NODES = 33  # of the table, along each of red, green and blue
SDR_WHITE = 203.0  # nits of HDR that SDR shows as white (ITU-R BT.2408)
KNEE, PEAK = 0.8, 1000.0 / SDR_WHITE  # of SDR's white: light between them is pressed together
HLG_PEAK, HLG_GAMMA = 1000.0, 1.2  # of the display that HLG is shown on (ITU-R BT.2100)
BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
)
LUMA_2020 = np.array([0.2627, 0.6780, 0.0593])


class Toner:
    """Makes SDR of the frames of one HDR video.

    Args:
        transfer: of its samples, PQ or HLG.
    """

    def __init__(self, transfer: int) -> None:
        self._cube = cube_file(sdr_colours(transfer))
        self._graph: av.filter.Graph | None = None
        self._shape: tuple[int, int] | None = None

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """(H, W, 3) uint8."""
        planar = frame.reformat(format="gbrp10le")
        if self._graph is None or self._shape != (frame.width, frame.height):
            self._shape = frame.width, frame.height
            self._graph = self._made(*self._shape)
        self._graph.push(planar)
        toned = self._graph.pull()
        if not isinstance(toned, av.VideoFrame):
            raise ValueError("a graph of pictures gave none")
        return np.asarray(toned.to_ndarray(format="rgb24"))

    def _made(self, width: int, height: int) -> av.filter.Graph:
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=width, height=height, format=av.VideoFormat("gbrp10le"), time_base=Fraction(1, 1000)
        )
        with tempfile.TemporaryDirectory() as folder:  # read once, when the graph is configured
            file = Path(folder) / "sdr.cube"
            file.write_text(self._cube)
            table = graph.add("lut3d", f"file='{_escaped(file)}':interp=tetrahedral")
            graph.link_nodes(source, table, graph.add("buffersink")).configure()
        return graph


def sdr_colours(transfer: int, nodes: int = NODES) -> np.ndarray:
    """(nodes, nodes, nodes, 3): BT.709's coded red, green and blue, 0 to 1, by HDR's blue, green and red."""
    steps = np.linspace(0, 1, nodes)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    coded = np.stack([red, green, blue], axis=-1)
    light = _hlg_light(coded) if transfer == HLG else _pq_light(coded)
    linear = np.maximum(light / SDR_WHITE @ BT2020_TO_BT709.T, 0)
    brightest = linear.max(axis=-1, keepdims=True)
    pressed = np.where(brightest > KNEE, _shoulder(brightest), brightest)
    linear = linear * pressed / np.maximum(brightest, 1e-9)
    curved = 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055
    return np.asarray(np.where(linear <= 0.0031308, 12.92 * linear, curved))


def cube_file(colours: np.ndarray) -> str:
    """The text of a .cube file, red changing fastest."""
    rows = "\n".join(f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in colours.reshape(-1, 3))
    return f"LUT_3D_SIZE {len(colours)}\n{rows}\n"


def _shoulder(light: np.ndarray) -> np.ndarray:
    """From the knee on towards 1, which is reached at the peak."""
    above = (np.minimum(light, PEAK) - KNEE) / (PEAK - KNEE)
    steep = (PEAK - KNEE) / (1 - KNEE)  # so that there is no bend at the knee
    return np.asarray(KNEE + (1 - KNEE) * above * steep / (1 + (steep - 1) * above))


def _pq_light(coded: np.ndarray) -> np.ndarray:
    """Nits of the display (SMPTE ST 2084)."""
    power = coded ** (1 / 78.84375)
    ratio = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
    return np.asarray(10000 * ratio ** (1 / 0.1593017578125))


def _hlg_light(coded: np.ndarray) -> np.ndarray:
    """Nits of the display (ITU-R BT.2100): the scene's light with the system's gamma on luminance."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - c) / a) + b) / 12)
    luminance = np.maximum(scene @ LUMA_2020, 1e-9)[..., None]
    return np.asarray(HLG_PEAK * luminance ** (HLG_GAMMA - 1) * scene)


def _escaped(file: Path) -> str:
    return file.as_posix().replace(":", "\\:").replace("'", "")
