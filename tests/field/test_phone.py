"""A file as phones write it, through every output: HEVC in 10 bits, HLG, turned by 90 degrees, frames at
uneven times, sound; the pictures are compared with FFmpeg's own decoding of the file."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.field.making import as_player, ffmpeg, sound_seconds, times, write

WIDTH, HEIGHT, COUNT = 320, 180, 12
SHOWN = [t for t in range(16) if t not in (5, 6, 11, 13)]  # of 25 a second
SUFFIXES = [".mp4", ".mov", ".webm", ".mkv", ".json", ".jsonl", ".png", "", ".rgba", ".objects"]
HLG = "log-level=error:colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc:range=limited"
HLG += ":keyint=8:bframes=2"


def hlg_frames() -> bytes:
    """16 frames in HLG, BT.2020, 10 bits, 4:4:4, below the knee of tone mapping: a disk over a texture."""
    rng = np.random.default_rng(3)
    grey = cv2.resize(rng.uniform(0.1, 0.45, (10, 18)), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    ground = np.stack([grey, grey, grey + 0.02], axis=2)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    planes = []
    for t in range(16):
        disk = (y - 90) ** 2 + (x - 80 - 8 * t) ** 2 < 40**2
        signal = np.where(disk[..., None], (0.62, 0.4, 0.2), ground)
        luma = signal @ [0.2627, 0.6780, 0.0593]
        blue, red = (signal[..., 2] - luma) / 1.8814, (signal[..., 0] - luma) / 1.4746
        for plane in (876 * luma + 64, 896 * blue + 512, 896 * red + 512):
            planes.append(np.rint(plane).clip(0, 1023).astype("<u2").tobytes())
    return b"".join(planes)


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames at uneven times; players show it 180 wide and 320 high."""
    folder = tmp_path_factory.mktemp("phone")
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv444p10le", "-s", f"{WIDTH}x{HEIGHT}", "-r", 25]
    raw += ["-color_range", "tv", "-colorspace", "bt2020nc", "-i", "-"]
    tone = ["-f", "lavfi", "-i", "sine=1000:duration=0.64"]
    kept = "+".join(f"eq(n,{t})" for t in SHOWN)
    chosen = ["-vf", f"select='{kept}'", "-fps_mode", "vfr", "-pix_fmt", "yuv420p10le"]
    codecs = ["-c:v", "libx265", "-x265-params", HLG, "-crf", 6, "-tag:v", "hvc1", "-c:a", "aac"]
    ffmpeg(*raw, *tone, *chosen, *codecs, folder / "flat.mov", data=hlg_frames())
    ffmpeg("-display_rotation", 90, "-i", folder / "flat.mov", "-c", "copy", folder / "IMG_0042.mov")
    return folder / "IMG_0042.mov"


@pytest.fixture(scope="module")
def outputs(phone: Path) -> dict[str, Path]:
    """All outputs of one run that was stopped and resumed."""
    made = {suffix: phone.parent / f"out{suffix}" for suffix in SUFFIXES}
    write(phone, *made.values(), label=disk, resume_at=7)
    return made


def disk(image: np.ndarray) -> np.ndarray:
    """The disk's pixels, by its colour, in a frame as it is shown."""
    return ((image[..., 0].astype(int) - image[..., 2]) > 90).astype(np.uint8)


def toned_by_ffmpeg(phone: Path) -> np.ndarray:
    """(N, H, W, 3): decoded and turned by FFmpeg, and put from HLG to sRGB by the formulas of BT.2100 and
    BT.2087, on a display of 1000 nits whose 203 nits are white."""
    shown = ffmpeg("-i", phone, "-fps_mode", "passthrough", "-pix_fmt", "gbrpf32le", "-f", "rawvideo", "-")
    green, blue, red = np.moveaxis(np.frombuffer(shown, "<f4").reshape(-1, 3, WIDTH, HEIGHT), 1, 0)
    signal = np.stack([red, green, blue], axis=-1).astype(np.float64).clip(0, 1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luma = scene @ [0.2627, 0.6780, 0.0593]
    light = scene * luma[..., None] ** 0.2 * 1000 / 203
    to_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
    linear = (light @ to_709.T).clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255


def test_times_and_sound(phone: Path, outputs: dict[str, Path]) -> None:
    wanted = times(phone)
    assert len(wanted) == COUNT
    assert np.ptp(np.diff(wanted)) > 0.03
    for suffix in (".mp4", ".mov", ".webm", ".mkv"):
        assert times(outputs[suffix]) == pytest.approx(wanted, abs=2e-3), suffix
    for suffix in (".mp4", ".mov"):
        assert sound_seconds(outputs[suffix]) == pytest.approx(0.64, abs=0.06)
    records = [json.loads(line) for line in outputs[".jsonl"].read_text().splitlines()]
    assert [record["time"] for record in records] == pytest.approx(wanted, abs=1e-3)


def test_pictures_are_the_ones_that_ffmpeg_decodes(phone: Path, outputs: dict[str, Path]) -> None:
    """Frame by frame, upright, in the colours that HLG means."""
    wanted = toned_by_ffmpeg(phone)
    for suffix in (".mp4", ".mov", ".webm", ".rgba"):
        shown = pictures(outputs[suffix])
        assert shown.shape[:3] == (COUNT, WIDTH, HEIGHT), suffix
        for t, picture in enumerate(shown):
            seen = (picture[..., 3] > 127) if suffix != ".mp4" else disk_mask(outputs, t) == 0
            distance = np.abs(picture[seen][:, :3] - wanted[t][seen]).mean()
            assert distance < 5, (suffix, t, distance)


def pictures(output: Path) -> np.ndarray:
    if output.is_dir():
        return np.stack([np.array(Image.open(file)) for file in sorted(output.iterdir())]).astype(int)
    return as_player(output, COUNT).astype(int)


def disk_mask(outputs: dict[str, Path], t: int) -> np.ndarray:
    """Of a frame, grown by what outlines and lossy coding spread."""
    mask = np.array(Image.open(outputs[""] / f"{t:05d}.png"))
    return cv2.dilate(mask, np.ones((9, 9), np.uint8))


def test_masks_lie_on_the_disk(phone: Path, outputs: dict[str, Path]) -> None:
    """In label maps, black and white, alpha and the label video alike."""
    labels = as_player(outputs[".mkv"], COUNT)[..., 0]
    for t in range(COUNT):
        mask = np.array(Image.open(outputs[""] / f"{t:05d}.png"))
        assert mask.shape == (WIDTH, HEIGHT)
        y, x = np.nonzero(mask)
        assert (x.mean(), y.mean()) == pytest.approx((90, WIDTH - (80 + 8 * SHOWN[t])), abs=3)
        white = np.array(Image.open(outputs[".objects"] / f"1/{t:05d}.png"))
        assert np.array_equal(white > 0, mask > 0)
        assert np.array_equal(labels[t], mask)
        for suffix in (".mov", ".webm", ".rgba"):
            assert np.mean((pictures(outputs[suffix])[t, ..., 3] > 127) == (mask > 0)) > 0.995


def test_summaries(outputs: dict[str, Path]) -> None:
    coco = json.loads(outputs[".json"].read_text())
    assert [(image["width"], image["height"]) for image in coco["images"]] == [(HEIGHT, WIDTH)] * COUNT
    assert len(coco["annotations"]) == COUNT
    assert Image.open(outputs[".png"]).size[0] > HEIGHT
