"""Frames as people have them: many formats, many bits, clear pixels, tracks, mirrors, HDR."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.files import IMAGE_SUFFIXES
from spvos_cli.video.colours import HLG, PQ
from spvos_cli.video.frames import Source
from spvos_cli.video.reader import open_source
from spvos_cli.video.samples import SampleRange, measured_range, parse_range
from spvos_cli.video.tone import sdr_colours
from tests.field.making import ffmpeg
from tests.field.scene import FRAMES, HEIGHT, LENGTH, WIDTH, save_frames
from tests.video.test_formats import encode

GREY = [frame.mean(axis=2) for frame in FRAMES]


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found.astype(float) - expected).mean())


def opened(path: Path | str, **options: object) -> tuple[Source, str]:
    """A source, and what was said."""
    notes: list[str] = []
    source = open_source(str(path), note=notes.append, **options)
    return source, "\n".join(notes)


def ffmpeg_images(folder: Path, suffix: str, codec: str, pixels: str) -> Path:
    """Frames in a format that FFmpeg alone writes."""
    folder.mkdir()
    for t, image in enumerate(FRAMES):
        encode(folder / f"sh.{1001 + t}.{suffix}", [image], codec, pixels)
    return folder


@pytest.mark.parametrize("suffix", ["tga", "ppm", "jfif", "jp2", "avif", "bmp", "webp", "tiff", "pcx"])
def test_folders_of_formats_that_pillow_reads(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "f").mkdir()
    for t, image in enumerate(FRAMES):
        kind = "JPEG" if suffix == "jfif" else None
        Image.fromarray(image).save(tmp_path / f"f/{t:03d}.{suffix}", format=kind)
    source, said = opened(tmp_path / "f")
    frames = list(source)
    assert (len(frames), said) == (LENGTH, "")
    assert max(difference(f.image, g) for f, g in zip(frames, FRAMES, strict=True)) < 6


@pytest.mark.parametrize(
    ("suffix", "codec", "pixels"),
    [("dpx", "dpx", "gbrp10le"), ("exr", "exr", "gbrpf32le"), ("sgi", "sgi", "rgb24")],
)
def test_folders_of_formats_that_ffmpeg_reads(tmp_path: Path, suffix: str, codec: str, pixels: str) -> None:
    folder = ffmpeg_images(tmp_path / "f", suffix, codec, pixels)
    for text in (folder, folder / f"*.{suffix}"):
        frames = list(opened(text)[0])
        assert [frame.name for frame in frames] == [f"sh.{1001 + t}" for t in range(LENGTH)]
        assert max(difference(f.image, g) for f, g in zip(frames, FRAMES, strict=True)) < 3


def test_a_folder_of_what_is_not_read_says_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f/a.txt").write_text("x")
    (tmp_path / "f/b.CR3").write_text("x")
    with pytest.raises(InputError, match=r"without images, with \.cr3, \.txt; expected frames: .*\.exr"):
        opened(tmp_path / "f")
    save_frames(tmp_path / "f/left", ["0.png"])
    with pytest.raises(InputError, match=r"there are some in .*left"):
        opened(tmp_path / "f")
    assert {".heic", ".jxl"} <= IMAGE_SUFFIXES


def test_a_sequence_as_ffmpeg_calls_it(tmp_path: Path) -> None:
    save_frames(tmp_path / "f", [f"{t:05d}.png" for t in range(LENGTH)])
    assert opened(tmp_path / "f/%05d.png")[0].frames == LENGTH


def deep(kind: str, t: int) -> tuple[np.ndarray, float]:
    """Samples of frame t, and by how much they are brighter than the scene where they are shown rightly."""
    grey = GREY[t]
    kinds = {
        "16 bits": (grey * 257).astype(np.uint16),
        "12 bits in 16": (grey * 16).astype(np.uint16),
        "colour in 16": (FRAMES[t] * np.uint16(257)),
        "colour, 12 in 16": (FRAMES[t] * np.uint16(16)),
        "floats to 1": (grey / 255).astype(np.float32),
        "floats of any size": (grey * 1e3 - 5e4).astype(np.float32),
        "a narrow part": (29000 + grey).astype(np.uint16),
    }
    return kinds[kind], 1.0


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(
    "kind",
    [
        "16 bits",
        "12 bits in 16",
        "colour in 16",
        "colour, 12 in 16",
        "floats to 1",
        "floats of any size",
        "a narrow part",
    ],
)
def test_samples_of_any_range(tmp_path: Path, kind: str, suffix: str) -> None:
    if suffix == "png" and "float" in kind:
        return
    (tmp_path / "f").mkdir()
    for t in range(LENGTH):
        samples, _ = deep(kind, t)
        if samples.ndim == 3:
            cv2.imwrite(str(tmp_path / f"f/{t}.{suffix}"), samples[..., ::-1])
        else:
            Image.fromarray(samples).save(tmp_path / f"f/{t}.{suffix}")
    source, said = opened(tmp_path / "f")
    assert "--range LOW,HIGH" in said
    for frame in source:
        grey = frame.image.mean(axis=2)
        assert frame.image.dtype == np.uint8
        if "narrow" in kind or "any" in kind:  # all of what is there is shown
            assert np.corrcoef(grey.ravel(), GREY[frame.index].ravel())[0, 1] > 0.99
            assert grey.max() - grey.min() > 200
        else:
            assert 0.95 < grey.mean() / GREY[frame.index].mean() < 1.05


def test_one_range_for_the_whole_run_and_the_users_own(tmp_path: Path) -> None:
    """A scene that grows dark stays dark: no frame has a range of its own."""
    (tmp_path / "f").mkdir()
    for t in range(LENGTH):
        Image.fromarray((GREY[t] * 16 / (t + 1)).astype(np.uint16)).save(tmp_path / f"f/{t}.png")
    means = [frame.image.mean() for frame in opened(tmp_path / "f")[0]]
    assert means[0] > 4 * means[-1]
    source, said = opened(tmp_path / "f", sample_range=parse_range("0,65535"))
    assert said == ""
    assert next(iter(source)).image.mean() < means[0] / 10


def test_options_that_have_no_use_are_refused(tmp_path: Path) -> None:
    folder = save_frames(tmp_path / "f", ["0.png"])
    video = encode(tmp_path / "x.mp4", FRAMES, "libx264", "yuv420p")
    for path in (folder, video):
        with pytest.raises(InputError, match=r"--range 0,9: samples of 8 bits"):
            opened(path, sample_range=parse_range("0,9"))
    with pytest.raises(InputError, match="--track 0: images, which have no tracks"):
        opened(folder, track=0)


def test_ranges_as_text() -> None:
    assert parse_range(" -1.5, 2e3 ") == SampleRange(-1.5, 2000)
    for text in ("", "1", "5,5", "9,1", "a,b"):
        with pytest.raises(InputError, match="--range"):
            parse_range(text)
    constant = measured_range([np.full((4, 4), 700, np.uint16)])
    assert constant.low < constant.high
    assert measured_range([np.full((4, 4), np.nan, np.float32)]) == (0, 1)


@pytest.mark.parametrize("pixels", ["gray16le", "gray12le"])
def test_deep_grey_video(tmp_path: Path, pixels: str) -> None:
    path = tmp_path / "x.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        for grey in GREY:  # 12 bits, in 16 as some cameras give it
            frame = av.VideoFrame.from_ndarray((grey * 16).astype(np.uint16), format="gray16le")
            if pixels == "gray12le":
                frame = av.VideoFrame.from_ndarray((grey * 257).astype(np.uint16), format="gray16le")
                frame = frame.reformat(format=pixels)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    source, said = opened(path)
    assert "16-bit samples" in said
    assert max(difference(f.image.mean(axis=2), GREY[f.index]) for f in source) < 3
    assert max(difference(f.image.mean(axis=2), GREY[f.index]) for f in opened(path)[0].backwards(3)) < 3


def test_the_pages_of_a_stack_are_frames(tmp_path: Path) -> None:
    pages = [Image.fromarray(frame) for frame in FRAMES]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    source, _ = opened(tmp_path / "stack.tif")
    assert [frame.name for frame in source] == [f"{t:05d}" for t in range(LENGTH)]
    assert all(np.array_equal(f.image, g) for f, g in zip(source, FRAMES, strict=True))
    (tmp_path / "f").mkdir()
    for name in "ab":
        pages[0].save(tmp_path / f"f/{name}.tif", save_all=True, append_images=pages[1:])
    source, _ = opened(tmp_path / "f")
    assert source.frames == 2 * LENGTH
    assert [frame.name for frame in source][:: LENGTH + 1] == ["a_0000", "b_0001"]


def test_colours_under_clear_pixels_do_not_show(tmp_path: Path) -> None:
    image = np.dstack([FRAMES[0], np.full((HEIGHT, WIDTH), 255, np.uint8)])
    image[:20] = (255, 0, 255, 0)
    (tmp_path / "f").mkdir()
    for suffix in ("png", "tga", "webp", "tif"):
        Image.fromarray(image).save(tmp_path / f"f/{suffix}.{suffix}")
    for frame in opened(tmp_path / "f")[0]:
        assert frame.image[:20].max() < 20, frame.name
        assert difference(frame.image[24:], FRAMES[0][24:]) < 6
    with av.open(str(tmp_path / "x.mov"), "w") as container:
        stream = container.add_stream("prores_ks", rate=25, options={"profile": "4444"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuva444p10le"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgba")))
        container.mux(stream.encode(None))
    assert next(iter(opened(tmp_path / "x.mov")[0])).image[:16].max() < 20


def test_vp9_with_alpha_is_read_with_it(tmp_path: Path) -> None:
    """FFmpeg's own decoder drops it, and shows what lies under."""
    image = np.dstack([FRAMES[0], np.full((HEIGHT, WIDTH), 255, np.uint8)])
    image[:40] = (255, 0, 255, 0)
    codec = ["-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-lossless", 1]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgba", "-s", f"{WIDTH}x{HEIGHT}", "-i", "-"]
    ffmpeg(*raw, *codec, tmp_path / "x.webm", data=image.tobytes() * 3)
    source, _ = opened(tmp_path / "x.webm")
    frames = [*source]
    assert len(frames) == 3
    assert frames[2].image[:36].max() < 20
    assert difference(frames[2].image[44:], FRAMES[0][44:]) < 6
    assert [frame.image[0, 0].max() < 20 for frame in opened(tmp_path / "x.webm")[0].backwards(3)] == [
        True
    ] * 3


@pytest.mark.parametrize(("transfer", "name"), [(PQ, "smpte2084"), (HLG, "arib-std-b67")])
def test_hdr_is_toned_to_sdr(tmp_path: Path, transfer: int, name: str) -> None:
    """Grey from black to twice white: SDR's part keeps its brightness, highlights stay below white."""
    levels = np.linspace(0, 1, WIDTH, dtype=np.float32)
    ramp = (np.broadcast_to(levels, (HEIGHT, WIDTH)) * 65535).astype(np.uint16)
    params = f"log-level=none:colorprim=bt2020:transfer={name}:colormatrix=bt2020nc:range=limited"
    with av.open(str(tmp_path / "x.ts"), "w") as container:
        stream = container.add_stream("libx265", rate=25, options={"crf": "4", "x265-params": params})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p10le"
        for t in range(2):
            frame = av.VideoFrame.from_ndarray(np.dstack([ramp] * 3), format="rgb48le")
            frame = frame.reformat(format="yuv420p10le", dst_colorspace=9)
            frame.pts, frame.time_base = t, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    source, said = opened(tmp_path / "x.ts")
    assert "toned down to SDR" in said
    assert source.colours == (1, 1, 1, 1)
    row = next(iter(source)).image[HEIGHT // 2].astype(int)
    assert np.ptp(row, axis=1).max() < 8  # grey stays grey
    nodes = np.array([sdr_colours(transfer)[i, i, i, 0] for i in range(33)])
    expected = np.interp(levels, np.linspace(0, 1, 33), nodes) * 255
    assert np.abs(row[8:-8, 0] - expected[8:-8]).max() < 8
    white = 0.5807 if transfer == PQ else 0.75  # 203 nits, coded (ITU-R BT.2408)
    at_white = np.interp(white, np.linspace(0, 1, 33), nodes)
    assert 0.88 < at_white < 0.97
    assert (np.diff(nodes) >= -1e-9).all()


def test_hd_that_says_nothing_is_bt709(tmp_path: Path) -> None:
    frame = np.zeros((720, 128, 3), np.uint8)
    frame[:] = (200, 40, 40)
    path = tmp_path / "x.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 720, "yuv444p"
        picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(
            format="yuv444p", dst_colorspace=1
        )
        plain = av.VideoFrame.from_ndarray(picture.to_ndarray(), format="yuv444p")  # without tags
        container.mux(stream.encode(plain))
        container.mux(stream.encode(None))
    source, _ = opened(path)
    assert source.colours.matrix == 1
    assert difference(next(iter(source)).image, frame) < 2


def test_what_is_cut_off_or_empty_is_named(tmp_path: Path) -> None:
    path = encode(tmp_path / "x.mp4", FRAMES, "libx264", "yuv420p")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])
    with pytest.raises(InputError, match=r"its index \(moov\) is missing"):
        opened(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="an empty file"):
        opened(path)


def test_frames_are_counted_without_decoding(tmp_path: Path) -> None:
    path = encode(tmp_path / "x.mkv", FRAMES, "libx264", "yuv420p", options={"bf": 2})
    assert opened(path)[0].count() == LENGTH
    assert opened(path)[0].pixel_aspect == Fraction(1)
