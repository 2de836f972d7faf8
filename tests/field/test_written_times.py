"""Clocks, sound, shapes of pixels, and what a file says besides, as they come out."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from spvos_cli.video.moments import Range, parse_moment
from spvos_cli.video.reader import open_source
from spvos_cli.video.timecode import later_timecode
from tests.field.making import (
    as_player,
    duration,
    encode,
    ffmpeg,
    moving,
    probe,
    sound_seconds,
    sounding,
    times,
    write,
)

VIDEOS = [".mp4", ".mov", ".webm", ".mkv"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 frames at 25 a second with sound."""
    return sounding(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.mark.parametrize("start", [0, 1.48, 36_000, 95_000])
def test_outputs_begin_at_zero(tmp_path: Path, clip: Path, start: float) -> None:
    source = tmp_path / "x.ts"
    ffmpeg("-i", clip, "-c", "copy", "-output_ts_offset", start, "-mpegts_copyts", 1, source)
    write(source, *(tmp_path / f"o{suffix}" for suffix in VIDEOS))
    late = times(source)[0] - min(times(source)[0], first_sound(source))
    for output in (tmp_path / f"o{suffix}" for suffix in VIDEOS):
        assert times(output) == pytest.approx([late + t / 25 for t in range(16)], abs=2e-3)
        assert duration(output) < 1
    for output in (tmp_path / "o.mp4", tmp_path / "o.mov"):
        gap = times(output)[0] - first_sound(output)
        assert gap == pytest.approx(times(source)[0] - first_sound(source), abs=0.03)


@pytest.mark.parametrize("name", ["x.mkv", "x.flv", "x.m2ts", "x.mp4"])
def test_frames_that_are_reordered_are_no_jump(tmp_path: Path, name: str) -> None:
    """Matroska has no decoding times, and times of presentation fall back at every B-frame."""
    codecs = [
        "-c:v",
        "libx264",
        "-bf",
        8,
        "-x264-params",
        "b-pyramid=normal:b-adapt=0",
        "-pix_fmt",
        "yuv420p",
    ]
    moved = ["-output_ts_offset", 100] if name != "x.mp4" else []
    source = encode(tmp_path / name, moving(24), *codecs, *moved)
    write(source, tmp_path / "o.mp4")
    start = times(tmp_path / "o.mp4")[0]
    assert times(tmp_path / "o.mp4") == pytest.approx([start + t / 25 for t in range(24)], abs=2e-3)


def first_sound(file: Path) -> float:
    with av.open(str(file)) as container:
        return float(next(frame.time for frame in container.decode(audio=0)))


def parts(folder: Path, clip: Path, *starts: float) -> Path:
    """Copies of a clip, with these clocks, in one file."""
    joined = b""
    for number, start in enumerate(starts):
        part = folder / f"part{number}.ts"
        ffmpeg("-i", clip, "-c", "copy", "-output_ts_offset", start, "-mpegts_copyts", 1, part)
        joined += part.read_bytes()
    (folder / "joined.ts").write_bytes(joined)
    return folder / "joined.ts"


@pytest.mark.parametrize("starts", [(0, 0), (5, 0, 30), (0, 7000), (40_000, 2)])
def test_joined_streams_go_on(tmp_path: Path, clip: Path, starts: tuple[float, ...]) -> None:
    """The clock falls back or leaps between recordings in one file: pictures and sound of all of them."""
    source, notes = parts(tmp_path, clip, *starts), []
    write(source, tmp_path / "o.mp4", note=notes.append)
    shown = times(tmp_path / "o.mp4")
    assert len(shown) == 16 * len(starts)
    assert np.diff(shown).max() < 0.2
    assert sound_seconds(tmp_path / "o.mp4") > 0.6 * len(starts)
    assert notes == []


def test_lost_sound_is_said(tmp_path: Path, clip: Path) -> None:
    source, notes = open_source(str(clip)), []
    source.note = notes.append
    source.decoder.sound_times.lost = 0.7
    list(source)
    assert notes == [f"{clip}: 0.7 s of sound have times that do not go on, and are left out"]


def test_joined_streams_backwards(tmp_path: Path, clip: Path) -> None:
    source = parts(tmp_path, clip, 5, 0)
    forward = list(open_source(str(source)))[:20]
    backward = list(open_source(str(source)).backwards(20))
    assert [frame.index for frame in backward] == list(range(19, -1, -1))
    for one, other in zip(forward, reversed(backward), strict=True):
        assert np.array_equal(one.image, other.image)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_sound_after_the_last_frame_is_kept(tmp_path: Path, clip: Path, suffix: str) -> None:
    tone = ["-f", "lavfi", "-i", "sine=500:duration=3"]
    ffmpeg("-i", clip, *tone, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac", tmp_path / "x.mp4")
    write(tmp_path / "x.mp4", tmp_path / f"o{suffix}", resume_at=9)
    assert sound_seconds(tmp_path / f"o{suffix}") == pytest.approx(3, abs=0.06)
    write(tmp_path / "x.mp4", tmp_path / f"p{suffix}", range=Range(parse_moment("5", "--start")))
    assert sound_seconds(tmp_path / f"p{suffix}") == pytest.approx(2.8, abs=0.06)


@pytest.mark.parametrize("suffix", VIDEOS)
@pytest.mark.parametrize("aspect", ["64/45", "8/9"])
def test_the_shape_of_pixels(tmp_path: Path, suffix: str, aspect: str) -> None:
    filters = ["-vf", f"scale=360:288,setsar={aspect}", "-c:v", "libx264", "-pix_fmt", "yuv420p"]
    source = encode(tmp_path / "x.mp4", moving(3), *filters)
    write(source, tmp_path / f"o{suffix}", resume_at=1)
    assert f"SAR {aspect.replace('/', ':')}" in probe(tmp_path / f"o{suffix}")
    assert len(as_player(tmp_path / f"o{suffix}", 9)) == 3


def test_the_shape_of_pixels_on_standard_output(tmp_path: Path) -> None:
    filters = ["-vf", "scale=360:288,setsar=64/45", "-c:v", "libx264", "-pix_fmt", "yuv420p"]
    source = encode(tmp_path / "x.mp4", moving(3), *filters)
    code = (
        f"from pathlib import Path; from tests.field.making import write; write({str(source)!r}, Path('-'))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=root)
    (tmp_path / "o.mkv").write_bytes(done.stdout)
    assert "SAR 64:45" in probe(tmp_path / "o.mkv")
    assert len(times(tmp_path / "o.mkv")) == 3


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Title, date, chapters, time code, and two sound tracks in two languages."""
    folder = tmp_path_factory.mktemp("described")
    (folder / "meta.txt").write_text(
        ";FFMETADATA1\ntitle=Take 3\nartist=Me\ncreation_time=2026-05-01T10:00:00Z\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=300\ntitle=one\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=300\nEND=640\ntitle=two\n"
    )
    clip, made = sounding(folder / "clip.mp4"), folder / "x.mov"
    tone = ["-f", "lavfi", "-i", "sine=300:duration=0.64"]
    maps = ["-map", "0:v", "-map", "0:a", "-map", "2:a", "-map_metadata", 1, "-map_chapters", 1]
    names = ["-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=spa"]
    codecs = ["-c:v", "copy", "-c:a", "aac", "-timecode", "01:00:00:00"]
    ffmpeg("-i", clip, "-i", folder / "meta.txt", *tone, *maps, *names, *codecs, made)
    return made


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_what_the_file_says_is_kept(tmp_path: Path, described: Path, suffix: str) -> None:
    output = tmp_path / f"o{suffix}"
    write(described, output, resume_at=7)
    text = probe(output)
    for part in ("Take 3", "2026-05-01", "one", "two", "01:00:00:00", "(eng)", "(spa)"):
        assert part in text, part
    for track in (0, 1):
        assert sound_seconds(output, track) == pytest.approx(0.64, abs=0.06)
    with av.open(str(output)) as container:
        unit = [(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in container.chapters()]
    assert unit == [(0, pytest.approx(0.3)), (pytest.approx(0.3), pytest.approx(0.64, abs=0.02))]


@pytest.mark.parametrize("suffix", [".webm", ".mkv"])
def test_what_the_file_says_is_kept_without_sound(tmp_path: Path, described: Path, suffix: str) -> None:
    write(described, tmp_path / f"o{suffix}")
    text = probe(tmp_path / f"o{suffix}")
    for part in ("Take 3", "2026-05-01", "one", "two", "01:00:00:00"):
        assert part in text, part


def test_chapters_and_time_code_move_with_the_start(tmp_path: Path, described: Path) -> None:
    write(described, tmp_path / "o.mov", range=Range(parse_moment("10", "--start")))
    assert "01:00:00:10" in probe(tmp_path / "o.mov")
    with av.open(str(tmp_path / "o.mov")) as container:
        (only,) = container.chapters()
    assert only["metadata"]["title"] == "two"
    assert sound_seconds(tmp_path / "o.mov") == pytest.approx(0.24, abs=0.04)


@pytest.mark.parametrize(
    ("text", "seconds", "rate", "later"),
    [
        ("01:00:00:00", 1, Fraction(25), "01:00:01:00"),
        ("23:59:59:24", Fraction(1, 25), Fraction(25), "00:00:00:00"),
        ("00:00:59;29", Fraction(1001, 30000), Fraction(30000, 1001), "00:01:00;02"),
        ("00:09:59;29", Fraction(1001, 30000), Fraction(30000, 1001), "00:10:00;00"),
        ("00:00:00;00", Fraction(17982 * 1001, 30000), Fraction(30000, 1001), "00:10:00;00"),
        ("odd", 1, Fraction(25), "odd"),
    ],
)
def test_time_codes(text: str, seconds: Fraction, rate: Fraction, later: str) -> None:
    assert later_timecode(text, Fraction(seconds), rate) == later


@pytest.mark.parametrize("codec", ["pcm_mulaw", "pcm_alaw", "pcm_s24le", "wmav2", "adpcm_ima_wav", "tta"])
def test_sound_that_mp4_does_not_hold_becomes_aac(tmp_path: Path, clip: Path, codec: str) -> None:
    source, notes = tmp_path / "x.mkv", []
    ffmpeg("-i", clip, "-c:v", "copy", "-c:a", codec, "-ar", 8000 if "law" in codec else 44100, source)
    write(source, tmp_path / "o.mp4", note=notes.append, resume_at=5)
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
    assert sound_seconds(tmp_path / "o.mp4") == pytest.approx(0.64, abs=0.14)
    assert any("becomes AAC" in note for note in notes)
    assert loudest(tmp_path / "o.mp4") == pytest.approx(loudest(source), abs=10)


SOUNDS = [
    "libopus",
    "flac",
    "libvorbis",
    "pcm_s16le",
    "ac3",
    "eac3",
    "libmp3lame",
    "pcm_u8",
    "alac",
]


@pytest.mark.parametrize("codec", SOUNDS)
def test_every_sound_gets_into_every_video_with_sound(tmp_path: Path, clip: Path, codec: str) -> None:
    """Also what the pieces of an interrupted run have no name for."""
    source = tmp_path / "x.mkv"
    ffmpeg("-i", clip, "-c:v", "copy", "-c:a", codec, "-strict", -2, source)
    for output in (tmp_path / "o.mp4", tmp_path / "o.mov"):
        write(source, output, resume_at=6)
        assert sound_seconds(output) == pytest.approx(0.64, abs=0.08)
        assert loudest(output) == pytest.approx(1000, abs=10)


def test_eight_channels(tmp_path: Path, clip: Path) -> None:
    """Field recorders: the layout is the source's."""
    ffmpeg("-i", clip, "-c:v", "copy", "-c:a", "pcm_s24le", "-ac", 8, tmp_path / "x.mov")
    for output in (tmp_path / "o.mp4", tmp_path / "o.mov"):
        write(tmp_path / "x.mov", output, resume_at=6)
        with av.open(str(output)) as container:
            assert container.streams.audio[0].codec_context.channels == 8
        assert sound_seconds(output) == pytest.approx(0.64, abs=0.08)


def test_sound_that_shows_late_that_it_does_not_fit(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container may refuse a track when all of it is written."""
    ffmpeg("-i", clip, "-c:v", "copy", "-c:a", "wavpack", tmp_path / "x.mkv")
    monkeypatch.setattr("spvos_cli.video.writers.pieces.holds", lambda *_: True)
    notes: list[str] = []
    write(tmp_path / "x.mkv", tmp_path / "o.mp4", note=notes.append)
    assert "becomes AAC" in notes[-1]
    assert sound_seconds(tmp_path / "o.mp4") == pytest.approx(0.64, abs=0.08)


def loudest(file: Path) -> float:
    """The strongest frequency of the sound, in Hz."""
    with av.open(str(file)) as container:
        frames = list(container.decode(audio=0))
    samples = np.concatenate([f.to_ndarray().astype(float).reshape(-1) for f in frames])
    spectrum = np.abs(np.fft.rfft(samples))
    return float(np.argmax(spectrum[1:]) + 1) * frames[0].sample_rate / len(samples)
