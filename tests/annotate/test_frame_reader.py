"""Frames in any order, read as rarely as can be."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from spvos_cli.annotate import frame_reader
from spvos_cli.annotate.frame_reader import FrameReader, NoFrame
from spvos_cli.video.containers import VideoSource
from spvos_cli.video.frames import Frame
from spvos_cli.video.reader import open_source
from tests.conftest import make_frame, write_video

COUNT = 40


@pytest.fixture
def jumps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The frames that were jumped to."""
    found: list[int] = []
    frames_from = VideoSource.frames_from

    def jump(self: VideoSource, first: int) -> Iterator[Frame]:
        found.append(first)
        return frames_from(self, first)

    monkeypatch.setattr(VideoSource, "frames_from", jump)
    return found


@pytest.fixture
def reader(tmp_path: Path, jumps: list[int]) -> Iterator[FrameReader]:
    frames = [make_frame(t % 20)[0] for t in range(COUNT)]
    reader = FrameReader(open_source(str(write_video(tmp_path / "long.mp4", frames))))
    yield reader
    reader.close()


def test_any_order(reader: FrameReader) -> None:
    whole = [frame.image for frame in reader.source.frames_from(0)]
    order = [*range(COUNT)] * 2
    random.Random(0).shuffle(order)
    for index in order:
        assert np.array_equal(reader.frame(index).image, whole[index])


def test_forth_needs_no_jump_and_back_few(
    reader: FrameReader, jumps: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader.most = 12
    jumps.clear()
    for index in range(30):
        reader.frame(index)
    assert not jumps
    for index in range(29, -1, -1):
        reader.frame(index)
    assert len(jumps) <= 4


def test_past_the_end(reader: FrameReader) -> None:
    with pytest.raises(NoFrame):
        reader.frame(COUNT)
    assert reader.frame(COUNT - 1).index == COUNT - 1


def test_memory_is_bounded(reader: FrameReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_reader, "KEPT_BYTES", 5 * 3 * 96 * 128)
    small = FrameReader(reader.source)
    assert small.most == 5
    for index in (0, 20, 7, 30, 6, 5, 39):
        assert small.frame(index).index == index
