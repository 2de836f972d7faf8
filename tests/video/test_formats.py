"""Videos of every sort, whole and damaged."""

from __future__ import annotations

import itertools
import struct
import zlib
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.video.clock import GrowingTimes
from spvos_cli.video.frames import MAX_PIXELS
from spvos_cli.video.reader import open_source
from tests.conftest import LENGTH, write_video

Clip = tuple[list[np.ndarray], list[np.ndarray]]


def encode(path: Path, frames: list[np.ndarray], codec: str, pixels: str, **settings: object) -> Path:
    """A video of frames cut to even or odd sizes as they are."""
    with av.open(str(path), "w") as container:
        options = {str(k): str(v) for k, v in settings.pop("options", {}).items()}
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        if "aspect" in settings:
            stream.codec_context.sample_aspect_ratio = settings["aspect"]
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


SORTS = {
    "10 bit": ("x.mkv", "libx265", "yuv420p10le", {"x265-params": "log-level=none"}),
    "4:2:2": ("x.mp4", "libx264", "yuv422p", {}),
    "4:4:4": ("x.mp4", "libx264", "yuv444p", {}),
    "interlaced": ("x.mp4", "libx264", "yuv420p", {"flags": "+ildct+ilme"}),
    "b frames": ("x.mp4", "libx264", "yuv420p", {"bf": 3}),
    "alpha": ("x.mov", "prores_ks", "yuva444p10le", {"profile": 4444}),
    "lossless": ("x.mkv", "ffv1", "bgr0", {}),
    "mpeg-4": ("x.avi", "mpeg4", "yuv420p", {"q": 2}),
    "transport stream": ("x.ts", "libx264", "yuv420p", {}),
}


@pytest.mark.parametrize("sort", SORTS)
def test_sorts_of_video(tmp_path: Path, clip: Clip, sort: str) -> None:
    name, codec, pixels, options = SORTS[sort]
    source = open_source(str(encode(tmp_path / name, clip[0], codec, pixels, options=options)))
    frames = list(source)
    assert len(frames) == LENGTH
    for frame, image in zip(frames, clip[0], strict=True):
        assert np.abs(frame.image.astype(int) - image).mean() < 16
    seconds = [frame.seconds for frame in frames]
    assert seconds == pytest.approx([t / 25 for t in range(LENGTH)], abs=2e-3)


@pytest.mark.parametrize(("height", "width"), [(95, 127), (128, 96), (17, 33)])
def test_odd_and_portrait(tmp_path: Path, clip: Clip, height: int, width: int) -> None:
    frames = [np.ascontiguousarray(np.resize(image, (height, width, 3))) for image in clip[0]]
    source = open_source(str(encode(tmp_path / "x.mkv", frames, "ffv1", "bgr0")))
    assert (source.height, source.width) == (height, width)
    assert np.array_equal(next(iter(source)).image, frames[0])


def test_pixel_aspect(tmp_path: Path, clip: Clip) -> None:
    path = encode(tmp_path / "x.mp4", clip[0], "libx264", "yuv420p", aspect=Fraction(16, 15))
    assert open_source(str(path)).pixel_aspect == Fraction(16, 15)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_animations(tmp_path: Path, clip: Clip, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    first, *others = map(Image.fromarray, clip[0])
    first.save(path, save_all=True, append_images=others, duration=[40 + 10 * t for t in range(LENGTH)])
    frames = list(open_source(str(path)))
    assert [frame.pts for frame in frames] == [0, 40, 90, 150, 220, 300, 390, 490]
    for frame, image in zip(frames, clip[0], strict=True):
        assert np.abs(frame.image.astype(int) - image).mean() < 12
    again = list(open_source(str(path)).backwards(5))
    assert [frame.index for frame in again] == [4, 3, 2, 1, 0]
    assert np.array_equal(again[0].image, frames[4].image)


@pytest.mark.parametrize("bytes_held", [2**28, 3 * 96 * 128 * 3])
def test_backwards_is_forwards_reversed(
    tmp_path: Path, clip: Clip, bytes_held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spvos_cli.video.containers.CHUNK_BYTES", bytes_held)
    path = encode(tmp_path / "x.mp4", clip[0], "libx264", "yuv420p", options={"bf": 2, "g": 4})
    forward = list(open_source(str(path)))[:7]
    backward = list(open_source(str(path)).backwards(7))
    assert [frame.index for frame in backward] == [6, 5, 4, 3, 2, 1, 0]
    for one, other in zip(forward, reversed(backward), strict=True):
        assert np.array_equal(one.image, other.image)
        assert one.pts == other.pts


def test_damage_in_the_middle_is_passed_over_and_said(tmp_path: Path, clip: Clip) -> None:
    path = encode(tmp_path / "x.mkv", clip[0], "ffv1", "bgr0", options={"level": 3, "slicecrc": 1, "g": 1})
    with av.open(str(path)) as container:
        packet = [(p.pos, p.size) for p in container.demux() if p.size][3]
    data = bytearray(path.read_bytes())
    data[packet[0] + 20 : packet[0] + packet[1]] = bytes(packet[1] - 20)
    path.write_bytes(data)
    notes: list[str] = []
    frames = list(open_source(str(path), note=notes.append))
    assert len(frames) >= LENGTH - 1
    assert np.array_equal(frames[-1].image, clip[0][-1])


def test_a_file_that_breaks_off(tmp_path: Path, clip: Clip) -> None:
    path = encode(tmp_path / "x.mkv", clip[0], "ffv1", "bgr0", options={"g": 1})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    source = open_source(str(path))
    count = len(list(source))
    assert 3 <= count < LENGTH
    assert source.frames is None or source.frames >= count


def test_times_that_do_not_grow_are_mended(tmp_path: Path, clip: Clip) -> None:
    path = write_video(tmp_path / "x.mkv", clip[0], [0, 3600, 7200, 7200, 7200, 18000, 21600, 25200])
    times = [frame.pts for frame in open_source(str(path))]
    assert len(times) == LENGTH
    assert all(a < b for a, b in itertools.pairwise(times))


def test_sound_whose_times_do_not_grow_is_left_out() -> None:
    sound = GrowingTimes()
    times = [-0.02, 0.0, 0.0, 0.02, 1e6, None, 0.04, 0.03]
    stream = SimpleNamespace(index=1)
    packets = [SimpleNamespace(pts=t, dts=t, time_base=1, duration=0, stream=stream) for t in times]
    assert [p.pts for p in packets if sound.grow(p)] == [-0.02, 0.0, 0.02, 0.04]


def test_same_names_stay_apart(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "b.png"):
        Image.new("RGB", (16, 16)).save(tmp_path / name)
    assert {frame.name for frame in open_source(str(tmp_path))} == {"a.png", "a.jpg", "b.png"}


def test_exif_rotation(tmp_path: Path) -> None:
    image = Image.new("RGB", (30, 20))
    exif = image.getexif()
    exif[0x0112] = 6
    (tmp_path / "f").mkdir()
    image.save(tmp_path / "f" / "a.jpg", exif=exif)
    assert next(iter(open_source(str(tmp_path / "f")))).image.shape == (30, 20, 3)


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises more than it holds."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8200, 100_000, 2**31 - 1])
def test_bombs_are_refused_unopened(tmp_path: Path, side: int) -> None:
    assert side * side > MAX_PIXELS
    (tmp_path / "x.png").write_bytes(png_header(side, side))
    with pytest.raises(InputError, match=r"frames of|not readable"):
        open_source(str(tmp_path / "x.png"))
