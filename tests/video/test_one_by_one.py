"""Images that are given one by one: the frames of one video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.segment.resume import input_digest
from spvos_cli.segment.uses import are_frames
from spvos_cli.video.reader import open_source

NAMES = ["f_1.png", "f_2.png", "f_10.png", "g.png"]  # each has its place as its colour


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for place, name in enumerate(NAMES):
        Image.fromarray(np.full((20, 30, 3), place, np.uint8)).save(tmp_path / name)
    return tmp_path


def named(folder: Path, *names: str) -> tuple[str, ...]:
    return tuple(str(folder / name) for name in names)


@pytest.mark.parametrize(
    ("given", "shown", "order"),
    [
        (["f_1.png", "f_10.png", "f_2.png", "g.png"], [0, 1, 2, 3], "in natural order"),
        (["f_1.png", "f_2.png", "f_10.png"], [0, 1, 2], "in the order given"),
        (["g.png", "f_2.png"], [3, 1], "in the order given"),
        (["f_10.png", "f_1.png", "f_2.png"], [0, 1, 2], "in natural order"),  # as ls has it in English
        (["f_2.png", "f_10.png", "f_1.png"], [1, 2, 0], "in the order given"),
        (["g.png"], [3], "in natural order"),
    ],
)
def test_order(folder: Path, given: list[str], shown: list[int], order: str) -> None:
    notes: list[str] = []
    source = open_source(named(folder, *given), note=notes.append)
    assert [int(frame.image[0, 0, 0]) for frame in source] == shown
    assert (source.name, source.frames) == (folder.name, len(given))
    (note,) = notes
    assert note.startswith(f"{len(given)} images are the frames of one video, {order}: {folder}")


def test_what_is_given_as_a_mask_is_no_frame(folder: Path) -> None:
    files = named(folder, *NAMES)
    assert open_source(files, masks=[folder / "g.png"]).frames == 3
    with pytest.raises(InputError, match="no image that is no mask"):
        open_source(files[-1:], masks=[folder / "g.png"])


def test_what_is_refused(folder: Path) -> None:
    Image.new("RGB", (30, 24)).save(folder / "tall.png")
    (folder / "clip.mp4").write_bytes(b"")
    sizes = "30x24 pixels; expected 30x20 as .*f_1"
    for name, found in {"tall.png": sizes, "gone.png": "no such", "clip.mp4": "no image"}.items():
        with pytest.raises(InputError, match=f"{name}: {found}"):
            open_source(named(folder, "f_1.png", name))
    with pytest.raises(InputError, match="INPUT: no image that is no mask"):
        open_source(())
    with pytest.raises(InputError, match="--track 1: images"):
        open_source(named(folder, *NAMES), track=1)


def test_what_a_shell_makes_of_a_glob(folder: Path) -> None:
    assert are_frames(named(folder, *NAMES, "gone.png"))
    assert not are_frames(named(folder, "f_1.png", "clip.mp4"))
    assert not are_frames(["a/*.png", "b/*.png"])


def test_digest(folder: Path) -> None:
    files = named(folder, *NAMES)
    digest = input_digest(files)
    assert digest == input_digest(str(folder / "*.png"))
    assert digest != input_digest(files[::-1])
    Image.new("RGB", (30, 20)).save(files[1])
    assert digest != input_digest(files)
