"""Containers that say one thing and hold another: edit lists, wrong counts, a size that changes."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spvos_cli.video.reader import open_source
from tests.conftest import LENGTH
from tests.video.test_formats import Clip, encode

X264 = ("libx264", "yuv420p")


def test_an_edit_list_is_followed(tmp_path: Path, clip: Clip, ffmpeg: str) -> None:
    """A cut without encoding anew: frames from the keyframe on are there, marked as not to be shown."""
    whole = encode(tmp_path / "whole.mp4", clip[0], *X264, options={"g": 100, "bf": 0})
    cut = tmp_path / "cut.mp4"
    subprocess.run([ffmpeg, "-loglevel", "error", "-ss", "0.12", "-i", whole, "-c", "copy", cut], check=True)
    assert b"elst" in cut.read_bytes()
    frames = list(open_source(str(cut)))
    assert len(frames) == LENGTH - 3
    for frame, image in zip(frames, clip[0][3:], strict=True):
        assert np.abs(frame.image.astype(int) - image).mean() < 16
    assert [frame.seconds for frame in frames] == pytest.approx([t / 25 for t in range(LENGTH - 3)], abs=2e-3)
    backwards = open_source(str(cut)).backwards(3)
    for frame, image in zip(backwards, clip[0][5:2:-1], strict=True):
        assert np.abs(frame.image.astype(int) - image).mean() < 16


@pytest.mark.parametrize("count", [0, 2, 1000, 2**31 - 1])
def test_the_count_in_the_header_is_not_believed(tmp_path: Path, clip: Clip, count: int) -> None:
    path = encode(tmp_path / "x.avi", clip[0], "mpeg4", "yuv420p", options={"q": 2})
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"avih") + 8 + 16, count)  # dwTotalFrames
    struct.pack_into("<I", data, data.index(b"strh") + 8 + 32, count)  # dwLength
    path.write_bytes(data)
    assert len(list(open_source(str(path)))) == LENGTH


def test_frames_whose_size_changes_are_scaled_to_the_first(tmp_path: Path, clip: Clip) -> None:
    small = [np.ascontiguousarray(image[::2, ::2]) for image in clip[0]]
    parts = [encode(tmp_path / f"{t}.ts", part, *X264) for t, part in enumerate((clip[0], small))]
    path = tmp_path / "x.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    notes: list[str] = []
    frames = list(open_source(str(path), note=notes.append))
    assert len(frames) == 2 * LENGTH
    assert {frame.image.shape for frame in frames} == {clip[0][0].shape}
    for frame, image in zip(frames, clip[0] * 2, strict=True):
        assert np.abs(frame.image.astype(int) - image).mean() < 24
    assert notes == [f"{path}: some frames are 64x48, the first is 128x96: scaled to that"]


def test_images_of_several_sizes_are_scaled_to_the_first(tmp_path: Path, clip: Clip) -> None:
    for t, image in enumerate(clip[0]):
        Image.fromarray(image[::2, ::2] if t == 3 else image).save(tmp_path / f"{t}.png")
    notes: list[str] = []
    source = open_source(str(tmp_path), note=notes.append)
    for frames in (list(source), [*source.backwards(LENGTH)][::-1]):
        for frame, image in zip(frames, clip[0], strict=True):
            assert np.abs(frame.image.astype(int) - image).mean() < 24
    assert notes == [f"{tmp_path.name}: some frames are 64x48, the first is 128x96: scaled to that"]
