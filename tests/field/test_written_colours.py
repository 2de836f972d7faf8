"""Outputs show the source's colours: converted as they are tagged, in every container."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from tests.field.making import as_player, bars, encode, middles, write

VIDEOS = [".mp4", ".mov", ".webm"]
# size, tags, FFmpeg's scale; what outputs say: matrix, primaries, transfer, range
SOURCES = {
    "HD": ((1280, 720), "bt709", "tv", (1, 1, 1, 1)),
    "HD, full range": ((1280, 720), "bt709", "pc", (1, 1, 1, 2)),
    "SD": ((320, 240), "smpte170m", "tv", (6, 6, 6, 1)),
    "BT.2020": ((320, 240), "bt2020nc", "tv", (9, 9, 14, 1)),
    "HD that says nothing": ((1280, 720), None, "tv", (1, 1, 1, 1)),
    "SD that says nothing": ((320, 242), None, "tv", (6, 6, 6, 1)),
}
OTHERS = {
    "bt709": ("bt709", "bt709"),
    "smpte170m": ("smpte170m", "smpte170m"),
    "bt2020nc": ("bt2020", "bt2020-10"),
}


def tags_of(file: Path) -> tuple[int, int, int, int]:
    with av.open(str(file)) as container:
        context = container.streams.video[0].codec_context
        return (
            int(context.colorspace),
            int(context.color_primaries),
            int(context.color_trc),
            int(context.color_range),
        )


def coloured(file: Path, kind: str) -> Path:
    (width, height), matrix, span, _ = SOURCES[kind]
    shape = matrix or ("bt709" if height >= 720 else "smpte170m")
    scale = (
        f"scale=out_color_matrix={shape.removesuffix('nc')}:out_range={'full' if span == 'pc' else 'limited'}"
    )
    tags = []
    if not matrix:
        scale += ",setparams=colorspace=unknown:color_primaries=unknown:color_trc=unknown"
    else:
        primaries, transfer = OTHERS[matrix]
        tags = [
            "-colorspace",
            matrix,
            "-color_primaries",
            primaries,
            "-color_trc",
            transfer,
            "-color_range",
            span,
        ]
    codec = ["-c:v", "libx264", "-crf", 4, "-pix_fmt", "yuv420p"]
    return encode(file, [bars(width, height)] * 2, "-vf", scale, *codec, *tags)


@pytest.mark.parametrize("kind", SOURCES)
def test_colours_and_tags_are_the_sources(tmp_path: Path, kind: str) -> None:
    source = coloured(tmp_path / "x.mp4", kind)
    outputs = [tmp_path / f"o{suffix}" for suffix in VIDEOS]
    write(source, *outputs, resume_at=1)
    height = SOURCES[kind][0][1]
    shown = as_player(source)[0]
    for output in outputs:
        row = height // 4 if output.suffix == ".mp4" else 3 * height // 4
        difference = np.abs(middles(as_player(output)[0], row) - middles(shown, row))[:, :3]
        assert difference.max() <= 6, (output.suffix, difference.max())
        wanted = SOURCES[kind][3]
        assert tags_of(output) == ((*wanted[:3], 1) if output.suffix == ".mov" else wanted)


@pytest.mark.parametrize("height", [240, 720])
def test_pictures_in_a_folder_keep_their_colours(tmp_path: Path, height: int) -> None:
    (tmp_path / "x").mkdir()
    image = bars(640, height)
    for name in "ab":
        Image.fromarray(image).save(tmp_path / "x" / f"{name}.png")
    for output in (tmp_path / f"o{suffix}" for suffix in VIDEOS):
        write(tmp_path / "x", output)
        row = height // 4 if output.suffix == ".mp4" else 3 * height // 4
        assert np.abs(middles(as_player(output)[0], row)[:, :3] - middles(image, row)).max() <= 6
        assert 2 not in tags_of(output)[:3]


def test_labels_are_grey_of_full_range(tmp_path: Path) -> None:
    write(coloured(tmp_path / "x.mp4", "SD"), tmp_path / "o.mkv")
    assert tags_of(tmp_path / "o.mkv")[3] == 2


@pytest.mark.parametrize("ground", [(230, 60, 60), (0, 255, 0), (0, 0, 0)])
@pytest.mark.parametrize("suffix", [".webm", ".mov"])
def test_the_rim_of_a_cutout_has_the_objects_colour(
    tmp_path: Path, ground: tuple[int, int, int], suffix: str
) -> None:
    y, x = np.mgrid[:180, :320]
    disk = (y - 90) ** 2 + (x - 161) ** 2 < 51**2
    image = np.where(disk[..., None], np.uint8((230, 60, 60)), np.uint8(ground))
    codec = ["-c:v", "libx264rgb", "-qp", 0, "-pix_fmt", "rgb24"]
    source = encode(tmp_path / "x.mkv", [image] * 2, *codec)
    write(source, tmp_path / f"o{suffix}", label=lambda image: disk.astype(np.uint8))
    shown = as_player(tmp_path / f"o{suffix}")[0]
    solid = (shown[..., 3] > 127).astype(np.uint8)
    assert np.mean((solid > 0) == disk) > 0.995
    rim = (solid > 0) & (cv2.erode(solid, np.ones((3, 3), np.uint8)) == 0)
    assert np.abs(shown[rim][:, :3].astype(int) - (230, 60, 60)).max() < 30


def test_nothing_of_the_ground_is_left_in_a_cutout(tmp_path: Path) -> None:
    """The clear part of an output shows whom somebody cut away on purpose."""
    source = encode(tmp_path / "x.mkv", [bars(320, 180)] * 2, "-c:v", "ffv1", "-pix_fmt", "bgr0")
    label = np.zeros((180, 320), np.uint8)
    label[:, 40:60] = 1  # in the second bar, which is green
    write(source, tmp_path / "o.mov", label=lambda image: label)
    shown = as_player(tmp_path / "o.mov")[0]
    assert shown[:, 100:, :3].max() < 8
    assert np.abs(shown[60:120, 30:70, :3].astype(int) - (0, 255, 0)).max() < 12
