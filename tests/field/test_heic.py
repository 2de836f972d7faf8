"""HEIC, as phones write photographs and bursts: read where pillow-heif is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.video.masks import MaskReader
from tests.field.scene import FRAMES, LENGTH, MASKS, iou
from tests.field.test_pictures import difference, opened

try:
    import pillow_heif
except ImportError:
    pillow_heif = None

READER = pytest.mark.skipif(pillow_heif is None, reason="pillow-heif is not installed")


@pytest.fixture(autouse=True)
def writer() -> None:
    if pillow_heif:
        pillow_heif.register_heif_opener()


@pytest.mark.skipif(pillow_heif is not None, reason="pillow-heif is installed")
def test_the_reader_that_is_not_there_is_named(tmp_path: Path) -> None:
    """FFmpeg would take one tile of a phone's picture for the whole."""
    (tmp_path / "x.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    with pytest.raises(InputError, match=r"x\.heic: HEIC, .*pip install pillow-heif"):
        opened(tmp_path)
    with pytest.raises(InputError, match="pip install pillow-heif"):
        MaskReader().read(tmp_path / "x.heic")


@READER
@pytest.mark.parametrize("suffix", ["heic", "heif", "hif"])
def test_frames(tmp_path: Path, suffix: str) -> None:
    for t, image in enumerate(FRAMES):
        Image.fromarray(image).save(tmp_path / f"IMG_{t:04d}.{suffix}", format="HEIF", quality=90)
    frames = list(opened(tmp_path)[0])
    assert [frame.name for frame in frames] == [f"IMG_{t:04d}" for t in range(LENGTH)]
    assert max(difference(f.image, g) for f, g in zip(frames, FRAMES, strict=True)) < 6


@READER
def test_a_cutout_of_a_phone_is_a_mask(tmp_path: Path) -> None:
    image = np.dstack([FRAMES[0], MASKS[0] * np.uint8(255)])
    Image.fromarray(image).save(tmp_path / "m.heic", quality=90)
    assert iou(MaskReader().read(tmp_path / "m.heic").ids, MASKS[0]) > 0.97
