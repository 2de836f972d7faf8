"""What outputs cannot hold, or hold wrong, is said: places, subtitles, colours of Dolby's own."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spvos_cli.video.dolby import frame_profile
from tests.conftest import Command
from tests.field.making import encode, ffmpeg, moving, probe, sounding
from tests.field.scene import FRAMES
from tests.field.test_pictures import difference, opened

PLACE = "+52.3702+004.8952"


@pytest.fixture
def phone(tmp_path: Path) -> Path:
    """With a title, a place and subtitles."""
    (tmp_path / "s.srt").write_text("1\n00:00:00,000 --> 00:00:00,300\nHello\n")
    clip, made = sounding(tmp_path / "clip.mp4", 4), tmp_path / "phone.mov"
    said = ["-metadata", f"location={PLACE}/", "-metadata", "title=Take 3"]
    ffmpeg("-i", clip, "-i", tmp_path / "s.srt", *said, "-c", "copy", "-c:s", "mov_text", made)
    assert PLACE in probe(made)
    return made


def test_places_and_subtitles_are_left_out_and_that_is_said(
    tmp_path: Path, phone: Path, mask: Path, spvos: Command
) -> None:
    outputs = [tmp_path / f"o{suffix}" for suffix in (".mp4", ".mov", ".webm", ".mkv")]
    named = " ".join(f"-o {output}" for output in outputs)
    code, _, said = spvos(f"segment {phone} --box 20,20,60,40 {named} --size 48 --threads 1")
    assert code == 0, said
    assert "the place of recording and subtitles in it" in said
    for output in outputs:
        assert PLACE not in probe(output)
        assert "Take 3" in probe(output)
    code, _, said = spvos(f"segment {phone} --box 20,20,60,40 -o m --size 48 --threads 1 --overwrite")
    assert code == 0, said
    assert "subtitles" not in said


@pytest.mark.parametrize(("tag", "said"), [("dvh1", True), ("hvc1", False)])
def test_colours_of_dolbys_own_are_named(tmp_path: Path, tag: str, said: bool) -> None:
    """In MP4 the tag tells profile 5 from what other players understand."""
    codec = ["-c:v", "libx265", "-x265-params", "log-level=error", "-tag:v", tag]
    encode(tmp_path / "x.mp4", moving(2), *codec)
    assert ("Dolby Vision of profile 5" in opened(tmp_path / "x.mp4")[1]) == said


def test_the_profile_beside_a_frame() -> None:
    """Of FFmpeg's AVDOVIMetadata: in other containers nothing else tells."""
    header = struct.pack("BxHB", 2, 18, 0)
    assert frame_profile(struct.pack("N", 24) + bytes(16) + header) == 0
    assert frame_profile(struct.pack("N", 24) + bytes(16) + header[:-1] + b"\1") == 1
    assert frame_profile(b"") is None
    assert frame_profile(struct.pack("N", 2**40)) is None


def test_side_data_that_pyav_has_no_name_for(tmp_path: Path) -> None:
    """EXIF beside the frames of a camera's MJPEG."""
    exif = Image.Exif()
    exif[0x0112] = 6
    with (tmp_path / "x.mjpeg").open("wb") as file:
        for frame in FRAMES:
            Image.fromarray(frame).save(file, "JPEG", quality=95, exif=exif)
    frames = list(opened(tmp_path / "x.mjpeg")[0])
    assert max(difference(f.image, np.rot90(g, -1)) for f, g in zip(frames, FRAMES, strict=True)) < 6
