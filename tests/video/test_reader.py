"""Frames of files and folders, in order, upright, with their times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.files import natural_order
from spvos_cli.video.reader import open_source
from spvos_cli.video.threads import Background, prefetch
from tests.conftest import LENGTH, write_video

Clip = tuple[list[np.ndarray], list[np.ndarray]]


def test_video(video: Path, clip: Clip) -> None:
    source = open_source(str(video))
    frames = list(source)
    assert (source.width, source.height, source.frames, source.name) == (128, 96, LENGTH, "clip")
    assert [frame.name for frame in frames] == [f"{i:05d}" for i in range(LENGTH)]
    assert np.abs(frames[3].image.astype(int) - clip[0][3]).mean() < 8
    assert [float(frame.pts * source.time_base) for frame in frames] == pytest.approx(
        [i / 25 for i in range(LENGTH)]
    )


def test_variable_frame_rate(tmp_path: Path, clip: Clip) -> None:
    pts = [0, 3000, 9000, 9600, 20000, 21000, 21500, 40000]
    source = open_source(str(write_video(tmp_path / "vfr.mkv", clip[0], pts)))
    times = [float(frame.pts * source.time_base) for frame in source]
    assert times == pytest.approx([p / 90000 for p in pts], abs=1e-3)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_is_applied(tmp_path: Path, clip: Clip, rotation: int) -> None:
    source = open_source(str(write_video(tmp_path / "turned.mp4", clip[0], rotation=rotation)))
    frame = next(iter(source))
    expected = np.rot90(clip[0][0], rotation // 90)
    assert (source.height, source.width) == expected.shape[:2]
    assert np.abs(frame.image.astype(int) - expected).mean() < 8


def test_audio_comes_along(tmp_path: Path, clip: Clip) -> None:
    source = open_source(str(write_video(tmp_path / "loud.mp4", clip[0], sound=True)))
    assert sum(len(frame.audio) for frame in source) > 0


def test_image_folder_in_natural_order(tmp_path: Path, clip: Clip) -> None:
    for t, image in enumerate(clip[0]):
        Image.fromarray(image).save(tmp_path / f"img{t + 5}.png")
    for text in (str(tmp_path), str(tmp_path / "*.png")):
        frames = list(open_source(text))
        assert [frame.name for frame in frames] == [f"img{t + 5}" for t in range(LENGTH)]
        assert all(np.array_equal(frame.image, image) for frame, image in zip(frames, clip[0], strict=True))


def test_natural_order() -> None:
    names = ["a10.png", "a9.png", "B1.png", "10.png", "9.png"]
    ordered = [path.name for path in sorted(map(Path, names), key=natural_order)]
    assert ordered == ["9.png", "10.png", "a9.png", "a10.png", "B1.png"]


def test_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for name in ("text.mp4", "empty.mp4", "folder", "missing.mp4", "http://example.org/x.mp4"):
        with pytest.raises(InputError) as error:
            open_source(str(tmp_path / name) if "://" not in name else name)
        assert "\n" not in str(error.value)


def test_prefetch_passes_items_and_then_the_error() -> None:
    def items():
        yield from range(20)
        raise RuntimeError("broken")

    fetched = prefetch(items(), depth=3)
    assert [next(fetched) for _ in range(20)] == list(range(20))
    with pytest.raises(RuntimeError, match="broken"):
        next(fetched)


def test_prefetch_stops_its_thread_when_left() -> None:
    made = []

    def items():
        for i in range(1000):
            made.append(i)
            yield i

    for item in prefetch(items(), depth=3):
        if item == 5:
            break
    assert len(made) <= 12


def test_background_raises_what_failed() -> None:
    def fail(item: int) -> None:
        raise OSError(28, "No space left on device")

    def run() -> None:
        with Background(fail, depth=2) as background:
            for i in range(100):
                background.put(i)

    with pytest.raises(OSError, match="No space"):
        run()
