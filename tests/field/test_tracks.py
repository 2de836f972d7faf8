"""Which track of a video is followed, and which way up."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from spvos_cli.errors import InputError
from spvos_cli.video.orientation import Orientation
from tests.field.scene import FRAMES, HEIGHT, LENGTH, WIDTH
from tests.field.test_pictures import difference, opened


def two_tracks(path: Path, default: int | None) -> Path:
    """A small preview first, the main picture second."""
    with av.open(str(path), "w") as container:
        streams = []
        for width, height in ((WIDTH // 2, HEIGHT // 2), (WIDTH, HEIGHT)):
            stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            streams.append(stream)
        if default is not None:
            for number, stream in enumerate(streams):
                stream.disposition = int(number == default)
        for image in FRAMES:
            for stream in streams:
                small = cv2.resize(image, (stream.width, stream.height), interpolation=cv2.INTER_AREA)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(small, format="rgb24")))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("name", "default"), [("x.mp4", 1), ("x.mkv", 1), ("y.mkv", None)])
def test_the_main_track_is_followed(tmp_path: Path, name: str, default: int | None) -> None:
    path = two_tracks(tmp_path / name, default)
    source, said = opened(path)
    assert (source.width, source.height) == (WIDTH, HEIGHT)
    assert (
        f"0: {WIDTH // 2}x{HEIGHT // 2}, 1: {WIDTH}x{HEIGHT}; 1 is followed (--track takes another)" in said
    )
    source, said = opened(path, track=0)
    assert (source.width, source.height, said) == (WIDTH // 2, HEIGHT // 2, "")
    assert len(list(source)) == LENGTH
    with pytest.raises(InputError, match=r"no video track 5; expected 0 to 1 \(--track\)"):
        opened(path, track=5)


FLIPS = {  # an affine map of (x, y), as FFmpeg's filters do it, and what it makes of an image
    "mirrored": ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda image: image[::-1]),
    "rotated by 90": ((0, -1, 1, 0), lambda image: np.rot90(image)),
    "rotated by 180": ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
    "rotated by 270": ((0, 1, -1, 0), lambda image: np.rot90(image, 3)),
    "transposed": ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
    "transposed otherwise": ((0, -1, -1, 0), lambda image: np.rot90(image, 2).transpose(1, 0, 2)),
}


@pytest.mark.parametrize("kind", FLIPS)
def test_display_matrices_are_taken_whole(tmp_path: Path, kind: str) -> None:
    (a, b, c, d), turn = FLIPS[kind]
    one = 1 << 16
    with av.open(str(tmp_path / "x.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.set_display_matrix([a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30])
        for image in FRAMES:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    frame = next(iter(opened(tmp_path / "x.mp4")[0]))
    expected = turn(FRAMES[0])
    assert frame.image.shape == expected.shape
    assert difference(frame.image, expected) < 8


def test_orientations_in_words() -> None:
    assert str(Orientation(mirrored=True, turns=3)) == "mirrored and rotated by 270 degrees"
    assert str(Orientation()) == "upright"
