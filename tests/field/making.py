"""What people bring, made with FFmpeg from nothing, and what a player or an editor sees of an output."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

import av
import imageio_ffmpeg
import numpy as np

from spvos_cli.video.frames import Note
from spvos_cli.video.moments import Range
from spvos_cli.video.paint import Look
from spvos_cli.video.palettes import voc_palette
from spvos_cli.video.reader import open_source
from spvos_cli.video.writers.choose import parse_output
from spvos_cli.video.writers.writer import Facts, SegmentedFrame, Setting

BARS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255)]
BARS += [(200, 120, 90), (128, 128, 128), (16, 16, 16), (250, 250, 250)]
SIZE = (160, 90)  # width, height


def ffmpeg(*arguments: object, data: bytes | None = None) -> bytes:
    """What a real FFmpeg writes to its standard output."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *map(str, arguments)]
    return subprocess.run(command, check=True, input=data, capture_output=True).stdout


def probe(file: Path) -> str:
    """What FFmpeg says about a file."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(file)]
    return subprocess.run(command, capture_output=True, text=True).stderr


def bars(width: int, height: int) -> np.ndarray:
    """Ten vertical bars of colour."""
    return np.stack([np.array(BARS, np.uint8)[np.arange(width) * 10 // width]] * height)


def middles(image: np.ndarray, row: int) -> np.ndarray:
    """The colours in the middle of the bars (10, C)."""
    return image[row, (2 * np.arange(10) + 1) * image.shape[1] // 20].astype(int)


def encode(file: Path, frames: Sequence[np.ndarray], *arguments: object, rate: int = 25) -> Path:
    """RGB frames as a video, with further inputs and options of FFmpeg's."""
    height, width = frames[0].shape[:2]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", rate, "-i", "-"]
    ffmpeg(*raw, *arguments, file, data=np.stack(frames).tobytes())
    return file


def moving(count: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """Frames, each of which differs from all others."""
    y, x = np.mgrid[: size[1], : size[0]]
    return [np.stack([x + 3 * t, y * 2, x + y + 20 * t], axis=2).astype(np.uint8) for t in range(count)]


def sounding(file: Path, count: int = 16, *arguments: object) -> Path:
    """A video with as much sound."""
    tone = f"sine=1000:duration={count / 25}"
    codecs = ["-c:v", "libx264", "-crf", 10, "-pix_fmt", "yuv420p", "-c:a", "aac"]
    return encode(file, moving(count), "-f", "lavfi", "-i", tone, *codecs, *arguments)


def lower_half(image: np.ndarray) -> np.ndarray:
    """Labels: object 1 in the lower half of a frame."""
    labels = np.zeros(image.shape[:2], np.uint8)
    labels[labels.shape[0] // 2 :] = 1
    return labels


def write(
    source: Path | str,
    *outputs: Path,
    label: Callable[[np.ndarray], np.ndarray] = lower_half,
    note: Note = lambda text: None,
    range: Range | None = None,
    resume_at: int | None = None,
    names: Mapping[int, str] = MappingProxyType({}),
) -> None:
    """What `spvos segment` writes for known labels; stopped and resumed before a frame where asked."""
    opened = open_source(str(source), note=note)
    setting = Setting(opened, Look(voc_palette()), note, names)
    makers = [partial(out.writer, out.path, setting) for out in map(parse_output, outputs)]
    writers = [make() for make in makers]
    for frame in (range or Range()).select(opened):
        if frame.index == resume_at:
            saved = [writer.checkpoint(frame.index) for writer in writers]
            writers = [make(facts) for make, facts in zip(makers, saved, strict=True)]
        labels = label(frame.image)
        areas = np.bincount(labels.ravel(), minlength=256)
        objects = tuple(int(i) for i in {1, *np.flatnonzero(areas[1:]) + 1})
        facts = Facts(objects, areas, {1: 0.9})
        for writer in writers:
            writer.write(SegmentedFrame(frame, labels, facts))
    for writer in writers:
        writer.close()
        writer.clean_up()
    opened.close()


def as_player(file: Path, count: int = 1) -> np.ndarray:
    """The first frames as a player shows them: (N, H, W, 4) RGBA by the file's tags, or where it has none by
    BT.709 from 720 lines on."""
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        width, height = stream.width, stream.height
        space, span = int(stream.codec_context.colorspace), int(stream.codec_context.color_range)
    matrix = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020"}.get(space)
    matrix = matrix or ("bt709" if height >= 720 else "bt601")
    scale = f"scale=in_color_matrix={matrix}:in_range={'full' if span == 2 else 'limited'}:out_range=full"
    flags = ":flags=accurate_rnd+full_chroma_int,format=rgba"
    decoder = ["-c:v", "libvpx-vp9"] if file.suffix == ".webm" else []
    shown = ["-frames:v", count, "-vf", scale + flags, "-fps_mode", "passthrough"]
    raw = ffmpeg(*decoder, "-i", file, *shown, "-f", "rawvideo", "-")
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 4)


def times(file: Path) -> list[float]:
    """When its frames are shown, in seconds."""
    with av.open(str(file)) as container:
        return [float(frame.time) for frame in container.decode(video=0)]


def sound_seconds(file: Path, track: int = 0) -> float:
    """How much sound it has."""
    with av.open(str(file)) as container:
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=track))


def duration(file: Path) -> float:
    """In seconds, as FFmpeg says."""
    hours, minutes, seconds = re.search(r"Duration: (\d+):(\d+):([\d.]+)", probe(file)).groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
