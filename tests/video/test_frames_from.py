"""Frames by number: the same that reading from the start gives, from anywhere and as often as wanted."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spvos_cli.video.decoder import Decoder
from spvos_cli.video.reader import open_source
from tests.conftest import make_frame, write_video

COUNT = 40


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    return [make_frame(t % 20)[0] for t in range(COUNT)]


def as_video(folder: Path, frames: list[np.ndarray]) -> Path:
    return write_video(folder / "long.mp4", frames, sound=True)


def as_uneven_video(folder: Path, frames: list[np.ndarray]) -> Path:
    return write_video(folder / "uneven.mp4", frames, [3600 * t + 900 * (t % 3) for t in range(len(frames))])


def as_broken_video(folder: Path, frames: list[np.ndarray]) -> Path:
    """Its last packets are gone, and some in the middle are damaged."""
    path = write_video(folder / "whole.ts", frames)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 600] = bytes(600)
    path.write_bytes(content[: -len(content) // 5])
    return path


def as_images(folder: Path, frames: list[np.ndarray]) -> Path:
    for number, frame in enumerate(frames, 7):
        Image.fromarray(frame).save(folder / f"shot_{number}.png")
    return folder


def as_animation(folder: Path, frames: list[np.ndarray]) -> Path:
    first, *rest = [Image.fromarray(frame) for frame in frames]
    first.save(folder / "moving.gif", save_all=True, append_images=rest, duration=40)
    return folder / "moving.gif"


@pytest.mark.parametrize("make", [as_video, as_uneven_video, as_broken_video, as_images, as_animation])
def test_any_frame_is_that_of_the_whole(
    tmp_path: Path, frames: list[np.ndarray], make: Callable[[Path, list[np.ndarray]], Path]
) -> None:
    path = str(make(tmp_path, frames))
    whole = list(open_source(path))
    source = open_source(path)
    for first in (0, 1, len(whole) // 2, len(whole) - 1):
        for frame, expected in zip(islice(source.frames_from(first), 3), whole[first:], strict=False):
            assert frame[0] == expected.index
            assert (frame.name, frame.seconds, frame.number) == (
                expected.name,
                expected.seconds,
                expected.number,
            )
            assert np.array_equal(frame.image, expected.image)
        assert source.name_of(first) == whole[first].name
    assert not list(source.frames_from(len(whole)))


def test_a_jump_makes_no_image_of_what_it_passes(
    tmp_path: Path, frames: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(str(as_video(tmp_path, frames)))
    made, make = [], Decoder._image
    monkeypatch.setattr(Decoder, "_image", lambda self, frame: made.append(frame.pts) or make(self, frame))
    next(iter(source.frames_from(30)))
    assert made == [30 * 3600]
