"""Image files that hold more than pixels of RGB, or bear odd suffixes: profiles, thumbnails, animations."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.field.making import encode
from tests.field.scene import FRAMES, LENGTH
from tests.field.test_pictures import difference, opened

P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))  # XYZ, D50


def profile(primaries: tuple[tuple[float, ...], ...] = P3, gamma: float = 2.2) -> bytes:
    """A colour profile (ICC, version 2) of three primaries and a gamma."""

    def xyz(values: tuple[float, ...]) -> bytes:
        return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    name = b"A phone's\0"
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(78 + 2)}
    tags |= {b"wtpt": xyz((0.9642, 1.0, 0.8249)), b"cprt": b"text" + bytes(4) + b"none"}
    for channel, values in zip((b"r", b"g", b"b"), primaries, strict=True):
        tags |= {channel + b"XYZ": xyz(values), channel + b"TRC": curve}
    at, table, data = 128 + 4 + 12 * len(tags), b"", b""
    for tag, content in tags.items():
        content += bytes(-len(content) % 4)
        table += tag + struct.pack(">II", at + len(data), len(content))
        data += content
    head = struct.pack(
        ">I4sI4s4s4s12x4s", at + len(data), b"none", 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp"
    )
    head += bytes(68 - len(head)) + struct.pack(">III", 0x0000F6D6, 0x00010000, 0x0000D32D)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + table + data


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_colours_of_a_profile_become_srgb(tmp_path: Path, suffix: str) -> None:
    """P3's (230, 60, 40) is a stronger red than sRGB's; (128, 128, 128) is the same grey."""
    image = np.full((32, 64, 3), 128, np.uint8)
    image[:, :32] = (230, 60, 40)
    Image.fromarray(image).save(tmp_path / f"x.{suffix}", icc_profile=profile(), quality=95)
    shown = next(iter(opened(tmp_path / f"x.{suffix}")[0])).image.astype(int)
    linear = ((np.array([230, 60, 40]) / 255) ** 2.2) @ np.array(P3)
    to_srgb = np.array([[3.1339, -1.6169, -0.4906], [-0.9788, 1.9161, 0.0335], [0.0719, -0.2290, 1.4052]])
    red, green, blue = (to_srgb @ linear).clip(0, 1)
    expected = [
        255 * (1.055 * v ** (1 / 2.4) - 0.055 if v > 0.0031308 else 12.92 * v) for v in (red, green, blue)
    ]
    assert np.abs(shown[10, 10] - expected).max() < 8
    assert shown[10, 10, 0] > 240
    assert np.abs(shown[10, 50] - 128).max() < 3


def test_a_damaged_profile_changes_nothing(tmp_path: Path) -> None:
    Image.fromarray(FRAMES[0]).save(tmp_path / "x.png", icc_profile=b"no profile")
    assert np.array_equal(next(iter(opened(tmp_path / "x.png")[0])).image, FRAMES[0])


@pytest.mark.parametrize("marked", [True, False])
def test_thumbnails_and_reduced_copies_are_no_frames(tmp_path: Path, marked: bool) -> None:
    """As cameras, scanners and slide formats put them behind the picture, with or without a mark."""
    (tmp_path / "f").mkdir()
    for t, frame in enumerate(FRAMES):
        image = Image.fromarray(frame)
        small = image if marked else image.resize((40, 24))
        small.encoderinfo = {"tiffinfo": {254: 1}} if marked else {}
        image = Image.fromarray(frame)
        image.save(tmp_path / f"f/{t}.tif", save_all=True, append_images=[small])
    frames = list(opened(tmp_path / "f")[0])
    assert [frame.name for frame in frames] == [str(t) for t in range(LENGTH)]


@pytest.mark.parametrize("suffix", ["gif", "apng", "mpo", "dds", "icb", "jpf"])
def test_rarer_suffixes_in_folders(tmp_path: Path, suffix: str) -> None:
    kinds = {"apng": "PNG", "icb": "TGA", "jpf": "JPEG2000"}
    (tmp_path / "f").mkdir()
    for t, image in enumerate(FRAMES):
        Image.fromarray(image).save(tmp_path / f"f/{t}.{suffix}", format=kinds.get(suffix))
    frames = list(opened(tmp_path / "f")[0])
    assert len(frames) == LENGTH
    assert max(difference(f.image, g) for f, g in zip(frames, FRAMES, strict=True)) < 6


@pytest.mark.parametrize(("suffix", "pixels"), [("pam", "rgb24"), ("pfm", "gbrpf32le"), ("xwd", "bgra")])
def test_rarer_suffixes_that_ffmpeg_writes(tmp_path: Path, suffix: str, pixels: str) -> None:
    (tmp_path / "f").mkdir()
    for t, image in enumerate(FRAMES):
        encode(tmp_path / f"f/{t}.{suffix}", [image], "-pix_fmt", pixels)
    frames = list(opened(tmp_path / "f")[0])
    assert max(difference(f.image, g) for f, g in zip(frames, FRAMES, strict=True)) < 2


def test_an_animation_beside_frames_is_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    for t, image in enumerate(FRAMES):
        Image.fromarray(image).save(tmp_path / f"f/{t}.png")
    Image.fromarray(FRAMES[0]).save(tmp_path / "f/preview.gif")
    assert opened(tmp_path / "f")[0].frames == LENGTH


@pytest.mark.parametrize(("top", "shown"), [(1.0, "0,1"), (255.0, "0,255"), (4095.0, "0,4095")])
def test_floats_that_were_integers_once(tmp_path: Path, top: float, shown: str) -> None:
    """ImageJ's 32-bit images of 8 and 12 bits keep their numbers."""
    (tmp_path / "f").mkdir()
    for t, image in enumerate(FRAMES):
        plain = [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_NONE]  # else some write LogLuv
        cv2.imwrite(str(tmp_path / f"f/{t}.tif"), image[..., ::-1].astype(np.float32) / 255 * top, plain)
    source, said = opened(tmp_path / "f")
    assert f"shown from {shown} on" in said
    assert max(difference(f.image, g) for f, g in zip(source, FRAMES, strict=True)) < 2
