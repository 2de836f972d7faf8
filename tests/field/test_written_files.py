"""Names in what is written lead back to the frames' files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Command
from tests.field.making import moving, write

NAMES = ["sh010.1001.png", "sh010.1002.png", "sh010.1003.png"]


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    """Three frames from number 1001 on."""
    folder = tmp_path / "plate"
    folder.mkdir()
    for name, image in zip(NAMES, moving(3), strict=True):
        Image.fromarray(image).save(folder / name)
    return folder


def test_coco_names_files_that_are_there(tmp_path: Path, plate: Path) -> None:
    write(plate, tmp_path / "o.json")
    images = json.loads((tmp_path / "o.json").read_text())["images"]
    assert [image["file_name"] for image in images] == NAMES


def test_masks_have_the_frames_numbers(tmp_path: Path, plate: Path) -> None:
    write(plate, tmp_path / "m", tmp_path / "n/mask_%04d.png", tmp_path / "c.rgba", tmp_path / "k.objects")
    assert sorted(f.name for f in (tmp_path / "m").iterdir()) == NAMES
    assert sorted(f.name for f in (tmp_path / "c.rgba").iterdir()) == NAMES
    assert sorted(f.name for f in (tmp_path / "k.objects/1").iterdir()) == NAMES
    numbered = [f"mask_{number}.png" for number in (1001, 1002, 1003)]
    assert sorted(f.name for f in (tmp_path / "n").iterdir()) == numbered


def test_the_home_folder_where_no_shell_knows_it(
    tmp_path: Path, video: Path, mask: Path, spvos: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind FRAME: and in quotes a shell leaves ~ as it is."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    shutil.copy(mask, home / "m.png")
    code, _, said = spvos(f"segment {video} --mask 0:~/m.png -o ~/out --size 48 --threads 1 --end 2")
    assert code == 0, said
    assert len(list((home / "out").iterdir())) == 2


@pytest.mark.parametrize(
    "name", ["GX010023.final.mp4", "Recording-at-10.33.21.mp4", "shot_v1.2", "shot_v1.2/"]
)
def test_default_outputs_of_names_with_dots(
    tmp_path: Path, video: Path, mask: Path, plate: Path, spvos: Command, name: str
) -> None:
    if name.startswith("shot"):
        shutil.copytree(plate, tmp_path / name)
        box = "--box 20,20,60,40"
    else:
        shutil.copy(video, tmp_path / name)
        box = f"--mask {mask}"
    code, _, said = spvos(f"segment {tmp_path}/{name} {box} --size 48 --threads 1")
    assert code == 0, said
    stem = name.removesuffix(".mp4").removesuffix("/")
    assert Path(f"{stem}_masks").is_dir()
    assert Path(f"{stem}_overlay.mp4").is_file()
