"""Rates that people know and their files do not say."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.video.rates import parse_rate
from spvos_cli.video.reader import open_source
from tests.field.making import ffmpeg, probe, sounding, write

RATES = {
    "30": Fraction(30),
    "29.97": Fraction(30000, 1001),
    "23.976": Fraction(24000, 1001),
    "59.94": Fraction(60000, 1001),
    "30000/1001": Fraction(30000, 1001),
    "12.5": Fraction(25, 2),
    "0.5": Fraction(1, 2),
    "24.0": Fraction(24),
}


@pytest.mark.parametrize("text", RATES)
def test_rates(text: str) -> None:
    assert parse_rate(text, "--fps") == RATES[text]


@pytest.mark.parametrize("text", ["fast", "0", "-25", "1/0", "5000", "nan", ""])
def test_no_rates(text: str) -> None:
    with pytest.raises(InputError, match=rf"--fps {text}: no rate"):
        parse_rate(text, "--fps")


def test_a_folder_has_the_rate_that_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").mkdir()
    for t in range(4):
        Image.new("RGB", (64, 48)).save(tmp_path / "x" / f"{t}.png")
    source = open_source(str(tmp_path / "x"))
    source.set_rate(Fraction(30000, 1001))
    assert [frame.seconds for frame in source] == pytest.approx([t * 1.001 / 30 for t in range(4)])
    monkeypatch.setattr("tests.field.making.open_source", lambda *args, **options: source)
    write(tmp_path / "x", tmp_path / "o.mp4")
    assert "29.97 fps" in probe(tmp_path / "o.mp4")


def test_a_raw_stream_has_the_rate_that_is_given(tmp_path: Path) -> None:
    clip = sounding(tmp_path / "x.mp4", 6)
    ffmpeg("-i", clip, "-c", "copy", "-an", tmp_path / "x.h264")
    source = open_source(str(tmp_path / "x.h264"))
    source.set_rate(Fraction(50))
    assert [frame.seconds for frame in source] == pytest.approx([t / 50 for t in range(6)], abs=1e-4)


@pytest.mark.parametrize("name", ["x.mp4", "x.gif"])
def test_what_has_times_keeps_them(tmp_path: Path, name: str) -> None:
    clip = sounding(tmp_path / "x.mp4", 3)
    ffmpeg("-i", clip, tmp_path / "x.gif")
    with pytest.raises(InputError, match="--fps: frames with times of their own"):
        open_source(str(tmp_path / name)).set_rate(Fraction(30))
