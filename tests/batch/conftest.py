"""Clips with masks in a folder, which is the working directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import make_frame, write_mask, write_video

FRAMES = 4


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """a.mp4, b.mp4 and c.mp4, each of another motion; masks/a.png, masks/b.png and masks/c.png."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "masks").mkdir()
    for shift, name in enumerate("abc"):
        frames, masks = zip(*(make_frame(t + shift) for t in range(FRAMES)), strict=True)
        write_video(tmp_path / f"{name}.mp4", list(frames))
        write_mask(tmp_path / "masks" / f"{name}.png", masks[0])
    return tmp_path
