"""What the names of outputs say, and outputs that may not be."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.video.images import ImageSource
from spvos_cli.video.pngs import save_png
from spvos_cli.video.writers.apart import Inputs, check_apart
from spvos_cli.video.writers.choose import check_output, parse_output
from spvos_cli.video.writers.folders import LabelFolder, NumberedFolder, ObjectFolder
from spvos_cli.video.writers.policies import PolicyVideo
from spvos_cli.video.writers.videos import OverlayVideo
from tests.video.writing import segmented, setting

NAMES = {
    "masks": LabelFolder,
    "take.01/": LabelFolder,
    "a.mp4/": LabelFolder,
    "v1.2.objects": ObjectFolder,
    "v1.2.objects/": ObjectFolder,
    "GX010023.final.mp4": OverlayVideo,
    "run_policies.mp4": PolicyVideo,
    "masks/%04d.png": NumberedFolder,
    "shot_%d.final.png": NumberedFolder,
    "100%.mp4": OverlayVideo,
}


@pytest.mark.parametrize("text", NAMES)
def test_names(text: str) -> None:
    output = parse_output(text)
    assert output.writer is NAMES[text]
    assert output.path == Path(text)


@pytest.mark.parametrize("name", ["take.01", "a.mp4", "my.masks", "b"])
def test_a_folder_that_exists_is_one(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert parse_output(tmp_path / name).writer is LabelFolder


def test_unknown_suffixes_name_the_folder() -> None:
    for name in ("out.docx", "take.01"):
        with pytest.raises(InputError, match=rf"unknown suffix \{Path(name).suffix}.*-o {name}/ is a folder"):
            parse_output(name)


@pytest.mark.parametrize("name", ["m/%04d.jpg", "%d_%d.png", "m/%04d"])
def test_patterns_that_make_no_names(name: str) -> None:
    with pytest.raises(InputError, match="a pattern of names"):
        parse_output(name)


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "masks").write_text("")
    with pytest.raises(InputError, match="a file; expected a folder"):
        check_output(parse_output(tmp_path / "masks"), overwrite=True)


@pytest.mark.parametrize("name", ["o.mp4", "o.json", "o.png", "o.webm"])
def test_the_work_of_a_killed_run_is_not_thrown_away(tmp_path: Path, name: str) -> None:
    output = parse_output(tmp_path / name)
    writer = output.writer(output.path, setting())
    check_output(output, overwrite=False)  # what a run makes before its first frame is no work
    writer.write(segmented(0))
    with pytest.raises(InputError, match=rf"{name}.part exists already.*--resume"):
        check_output(output, overwrite=False)
    check_output(output, overwrite=True)


def test_somebody_elses_file_in_the_place_of_a_working_folder(tmp_path: Path) -> None:
    (tmp_path / "o.mp4.part").write_text("a download")
    with pytest.raises(InputError, match=r"o\.mp4\.part is a file"):
        check_output(parse_output(tmp_path / "o.mp4"), overwrite=True)


def test_names_too_long_for_working_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a name too long"):
        check_output(parse_output(tmp_path / f"{'x' * 240}.mp4"), overwrite=False)


@pytest.mark.parametrize(
    ("names", "numbers"),
    [(["sh010.1001", "sh010.1002"], [1001, 1002]), (["a1", "b1"], [0, 1]), (["x", "y"], [0, 1])],
)
def test_numbered_names_start_where_the_sources_do(
    tmp_path: Path, names: list[str], numbers: list[int]
) -> None:
    files = [tmp_path / f"{name}.png" for name in names]
    for file in files:
        Image.new("RGB", (128, 96)).save(file)
    source, folder = ImageSource(files, "x"), tmp_path / "out"
    folder.mkdir()
    (folder / "m_x.png").write_text("mine")
    (folder / "m_0078.png").write_text("mine")
    save_png(Image.new("L", (8, 8)), folder / "m_0077.png")
    output = parse_output(folder / "m_%04d.png")
    with pytest.raises(InputError, match="it exists already"):
        check_output(output, overwrite=False)
    writer = output.writer(output.path, setting(source))
    for frame in source:
        writer.write(segmented(0)._replace(frame=frame))
    assert {f.name for f in folder.iterdir()} == {
        "m_x.png",
        "m_0078.png",
        *(f"m_{n:04d}.png" for n in numbers),
    }
    assert np.array_equal(np.array(Image.open(folder / f"m_{numbers[0]:04d}.png")), segmented(0).labels)


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """Frames, a folder of masks beside a video, and links to them."""
    images = [tmp_path / "frames/a.png", tmp_path / "masks/a.png"]
    files = [tmp_path / "clip.mp4", tmp_path / "w.safetensors"]
    for path in (*images, *files, tmp_path / "pieces.mp4.part/0@0.nut"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "link.mp4").symlink_to("clip.mp4")
    os.link(tmp_path / "clip.mp4", tmp_path / "hard.mp4")
    (tmp_path / "link").symlink_to("frames")
    (tmp_path / "links").mkdir()
    (tmp_path / "links/a.png").symlink_to("../frames/a.png")
    (tmp_path / "x.objects/1").mkdir(parents=True)
    (tmp_path / "x.objects/1/a.png").symlink_to("../../masks/a.png")
    files.append(tmp_path / "pieces.mp4.part/0@0.nut")
    return Inputs(images, files, [tmp_path / "frames", tmp_path / "masks"]).on_disk()


REFUSED = ["clip.mp4", "link.mp4", "hard.mp4", "frames", "frames/", "link", "links", "masks", "masks/a.png"]
REFUSED += ["frames/sub", "frames/o.mp4", "frames/%04d.png", "link/o.mp4", "x.objects"]
REFUSED += ["frames/../frames", "frames/a.png", "pieces.mp4", "none/../frames", "none/../frames/%04d.png"]


@pytest.mark.parametrize("name", REFUSED)
def test_outputs_that_are_inputs_are_refused(tmp_path: Path, inputs: Inputs, name: str) -> None:
    text = f"{tmp_path}/{name}"
    with pytest.raises(InputError, match="the input"):
        check_apart([parse_output(text)], inputs)


TAKEN = ["-", "out", ".", "masks_out", "frames.objects", "o.mp4", "clip_overlay.mp4"]


@pytest.mark.parametrize("name", TAKEN)
def test_outputs_apart_are_taken(tmp_path: Path, inputs: Inputs, name: str) -> None:
    check_apart([parse_output(name if name == "-" else f"{tmp_path}/{name}")], inputs)


def test_a_pattern_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    output = parse_output("m_%04d.png")
    check_apart([output], Inputs([], [], []).on_disk())
    check_output(output, overwrite=False)
    assert output.folder == tmp_path


def test_default_outputs_may_lie_in_a_folder_of_frames(tmp_path: Path, inputs: Inputs) -> None:
    check_apart([parse_output(tmp_path / "frames/out")], inputs, named=False)
