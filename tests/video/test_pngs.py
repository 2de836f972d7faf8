"""Old files among new ones: a folder that is written anew holds the new run's files and other people's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spvos_cli.video.label_files import save_label_map
from spvos_cli.video.pngs import is_own_png, save_png
from spvos_cli.video.writers.choose import FOLDERS
from spvos_cli.video.writers.folders import PngFolder, PreviewFolder
from tests.video.writing import segmented, setting

WRITERS = [*FOLDERS.values(), PreviewFolder]


def write(make: type[PngFolder], folder: Path, count: int, notes: list[str] | None = None) -> set[str]:
    """A run of so many frames; what is in the folder then."""
    own = setting() if notes is None else setting()._replace(note=notes.append)
    writer = make(folder, own)
    for t in range(count):
        writer.write(segmented(t))
    writer.close()
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("make", WRITERS)
def test_a_shorter_run_leaves_nothing_of_a_longer_one(tmp_path: Path, make: type[PngFolder]) -> None:
    only = write(make, tmp_path / "once", 3)
    write(make, tmp_path / "twice", 8)
    assert write(make, tmp_path / "twice", 3) == only


@pytest.mark.parametrize("make", WRITERS)
def test_what_is_not_ours_stays(tmp_path: Path, make: type[PngFolder]) -> None:
    folder, notes = tmp_path / "out", []
    ours = write(make, folder, 3)
    theirs = {"00007.png", "notes.txt", "1/00006.png", "sub/00000.png"}
    for name in ("1", "sub"):
        (folder / name).mkdir(exist_ok=True)
    for name in ("00007.png", "1/00006.png"):
        Image.new("L", (8, 8)).save(folder / name)
    save_png(Image.new("L", (8, 8)), folder / "sub/00000.png")  # ours, of another output
    (folder / "notes.txt").write_text("mine")
    assert write(make, folder, 3, notes) == ours | theirs
    count = 3 if make.by_object else 2
    assert notes == [f"{folder}: {count} files there that spvos did not write stay among the new ones"]


def test_label_maps_bear_the_mark(tmp_path: Path) -> None:
    save_label_map(tmp_path / "a.png", np.zeros((9, 9), np.uint8))
    assert is_own_png(tmp_path / "a.png")
