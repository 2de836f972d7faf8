"""Folders with more in them than one sequence of frames."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.video.writers.choose import parse_output
from spvos_cli.video.writers.folders import NumberedFolder
from tests.conftest import Command
from tests.field.making import encode
from tests.field.scene import FRAMES, LENGTH, MASKS, save_frames
from tests.field.test_pictures import opened

MASK = Image.fromarray(MASKS[0] * np.uint8(255))
BESIDE = [
    "mask_00000.png",
    "00000_mask.png",
    "00000_obj1.png",
    "00000.gt.png",
    "mask.png",
    "first_mask.png",
    "first.png",
]


def frames_in(folder: Path, suffix: str = "png") -> Path:
    return save_frames(folder, [f"{t:05d}.{suffix}" for t in range(LENGTH)])


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_mask_among_the_frames_is_none_of_them(tmp_path: Path, name: str, suffix: str) -> None:
    MASK.save(frames_in(tmp_path / "f", suffix) / name)
    source, said = opened(tmp_path / "f")
    assert source.frames == LENGTH
    assert f"1 images are taken for masks, not for frames ({name} ...)" in said


def test_the_given_mask_is_no_frame_whatever_its_name(tmp_path: Path, spvos: Command) -> None:
    MASK.save(frames_in(tmp_path / "f") / "Untitled-1.png")
    for text in ("f", "f/*.png"):
        run = f"segment {text} --mask f/Untitled-1.png -o out --backward --size 48 --threads 1 --overwrite"
        code, _, said = spvos(run)
        assert code == 0, said
        assert len(list(Path("out").iterdir())) == LENGTH


def test_names_that_are_all_masks_are_frames(tmp_path: Path) -> None:
    """Somebody may want to follow something in them."""
    save_frames(tmp_path / "f", ["mask.png", "alpha.png"])
    assert opened(tmp_path / "f")[0].frames == 2


def test_several_sequences_are_named(tmp_path: Path) -> None:
    """Renders of several passes, both eyes: one after the other, as they are sorted; or one by a pattern."""
    for name in ("beauty", "depth"):
        save_frames(tmp_path / "f", [f"{name}.{1001 + t}.png" for t in range(3)])
    source, said = opened(tmp_path / "f")
    assert source.frames == 6
    assert "images of 2 names (beauty.#.png 3, depth.#.png 3) follow one another" in said
    for pattern in ("beauty.*.png", "beauty.%04d.png", "beauty.####.png"):
        source, said = opened(tmp_path / "f" / pattern)
        assert ([source.number(t) for t in range(3)], source.frames, said) == ([1001, 1002, 1003], 3, "")


def test_compositors_patterns_for_outputs(tmp_path: Path) -> None:
    output = parse_output(tmp_path / "m.####.png")
    assert (output.writer, output.path.name) == (NumberedFolder, "m.%04d.png")
    (tmp_path / "n.##.png").write_bytes(b"x")
    assert parse_output(tmp_path / "n.##.png").path.name == "n.##.png"


def test_a_video_with_an_images_suffix_is_not_one_frame_of_it(tmp_path: Path) -> None:
    encode(tmp_path / "x.mp4", FRAMES, "-c:v", "libx264", "-pix_fmt", "yuv420p")
    shutil.copy(tmp_path / "x.mp4", tmp_path / "x.jpg")
    with pytest.raises(InputError, match=r"x\.jpg: not readable as an image"):
        opened(tmp_path / "x.jpg")
