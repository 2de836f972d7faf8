"""Nothing is lost: runs that are stopped at any moment leave whole outputs, and go on where they were."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import make_frame, write_mask, write_video
from tests.video.writing import decode

FRAMES = 40
OUTPUTS = ["labels", "overlay.mp4", "labels.mkv", "rle.json", "records.jsonl", "sheet.png", "cut.webm"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """long.mp4, first.png and later.png, a correction at frame 12 (0.48 s) that another object joins."""
    folder = tmp_path_factory.mktemp("resume")
    frames, masks = zip(*(make_frame(t % 20) for t in range(FRAMES)), strict=True)
    write_video(folder / "long.mp4", list(frames), sound=True)
    write_mask(folder / "first.png", masks[0])
    write_mask(folder / "later.png", np.where(masks[12] == 2, 5, masks[12]).astype(np.uint8))
    return folder


def start(
    folder: Path, weights: Path, outputs: str, *more: str, method: str = "triple"
) -> subprocess.Popen[str]:
    """`spvos segment` into FOLDER/OUTPUTS, saving at every memory frame."""
    (folder / outputs).mkdir(exist_ok=True)
    command = [sys.executable, "-m", "spvos_cli", "segment", "long.mp4", "--mask", "first.png"]
    command += ["--mask", "0.48s:later.png", "--weights", str(weights), "--dtype", "fp32"]
    command += ["--threads", "1", "--save-every", "0", *more]
    for name in OUTPUTS:
        command += ["-o", f"{outputs}/{name}"]
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def stop(process: subprocess.Popen[str], number: int, frames: Path, count: int) -> tuple[int, str]:
    """Sends a signal as soon as there are so many label maps; exit code and stderr."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if frames.is_dir() and len(list(frames.glob("*.png"))) >= count:
            process.send_signal(number)
            break
        time.sleep(0.002)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def check_whole(folder: Path) -> int:
    """Decodes all that an interrupted run left; the number of label maps."""
    labels = sorted((folder / "labels").glob("*.png"))
    for file in labels:
        Image.open(file).load()
    for part in folder.glob("*.part"):
        *pieces, last = sorted([*part.glob("*.nut"), *part.glob("*.webm")]) or [None]
        if last is not None and last.stat().st_size > 1000:  # else it may have got its header alone
            pieces.append(last)
        for piece in pieces:
            assert decode(piece, "gray")[0]
    for line in (folder / "records.jsonl").read_text().splitlines():
        assert json.loads(line)["objects"]
    return len(labels)


def read_all(folder: Path) -> dict[str, bytes]:
    """What must be the same byte by byte: label maps, lossless labels, COCO."""
    files = {file.name: file.read_bytes() for file in sorted((folder / "labels").glob("*.png"))}
    files["labels.mkv"] = np.stack(decode(folder / "labels.mkv", "gray")[0]).tobytes()
    return files | {"rle.json": (folder / "rle.json").read_bytes()}


@pytest.fixture(scope="module")
def whole(folder: Path, weights: Path) -> dict[str, bytes]:
    """Of an uninterrupted run."""
    process = start(folder, weights, "whole")
    assert process.wait(300) == 0, process.stderr.read()
    assert {path.name for path in (folder / "whole").iterdir()} == set(OUTPUTS)
    return read_all(folder / "whole")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_and_resumed(
    folder: Path, weights: Path, whole: dict[str, bytes], number: int, code: int
) -> None:
    name = f"signal{number}"
    found, errors = stop(start(folder, weights, name), number, folder / name / "labels", 17)
    assert found == code
    assert errors.splitlines()[-1] in ("spvos: interrupted", "spvos: terminated")
    assert "--resume goes on from there" in errors
    done = check_whole(folder / name)
    assert 17 <= done < FRAMES
    assert len(decode(folder / name / "overlay.mp4", "gray")[0]) == done
    other = start(folder, weights, name, "--resume", "--contour", "3")
    assert other.wait(120) == 2
    assert "the interrupted run had another contour" in other.stderr.read()
    process = start(folder, weights, name, "--resume")
    assert process.wait(300) == 0
    said = process.stderr.read()
    assert "goes on at frame" in said
    left = int(re.search(rf"(\d+) of {FRAMES} frames in ", said)[1])
    assert 0 < left <= FRAMES - 9
    assert read_all(folder / name) == whole
    assert {path.name for path in (folder / name).iterdir()} == set(OUTPUTS)
    assert len(decode(folder / name / "overlay.mp4", "gray")[0]) == FRAMES


@pytest.mark.slow
def test_killed_at_random_moments_again_and_again(
    folder: Path, weights: Path, whole: dict[str, bytes]
) -> None:
    rng, kills = random.Random(7), 0
    while kills < 20:
        name = f"killed{kills}"
        more: list[str] = []
        for _ in range(3):
            count = rng.randrange(0, FRAMES - 2)
            code, errors = stop(
                start(folder, weights, name, *more), signal.SIGKILL, folder / name / "labels", count
            )
            if code == 0:
                break
            assert code == -signal.SIGKILL, errors
            kills += 1
            if (folder / name / "records.jsonl").exists():
                check_whole(folder / name)
            more = ["--resume"]
        else:
            process = start(folder, weights, name, "--resume")
            assert process.wait(300) == 0, process.stderr.read()
        assert read_all(folder / name) == whole


def test_a_state_goes_on_with_the_same_labels(weights: Path) -> None:
    """In one process: the state before a memory frame, through tensors and back; none before a frame in which
    all objects are given, where the gated decoder does not run."""
    import torch

    from spvos_cli.inference.segmenter import VideoSegmenter
    from spvos_cli.model.checkpoint import load_checkpoint

    network = load_checkpoint(weights).for_inference(torch.device("cpu"), torch.float32)
    frames, masks = zip(*(make_frame(t) for t in range(14)), strict=True)
    one, other = VideoSegmenter(network, mem_every=3), VideoSegmenter(network, mem_every=3)
    given = {0: np.where(masks[0] == 1, 1, 0), 4: np.where(masks[4] == 2, 2, 0), 11: masks[11]}
    resumed = []
    for t, image in enumerate(frames):
        mask = given.get(t)
        if one.can_resume(mask):
            other.restore(one.state())
            resumed.append(t)
        labels = one.step(image, mask)
        if resumed:
            assert np.array_equal(other.step(image, mask), labels)
            assert other.confidence == one.confidence
    assert resumed == [3, 4, 7, 10]


def test_states_of_sparse_memory_frames_are_not_taken(weights: Path) -> None:
    import torch

    from spvos_cli.inference.segmenter import VideoSegmenter
    from spvos_cli.model.checkpoint import load_checkpoint

    network = load_checkpoint(weights, {"strategy": "semi-mixed"})
    segmenter = VideoSegmenter(network.for_inference(torch.device("cpu"), torch.float32), mem_every=2)
    image, mask = make_frame(0)
    allowed = []
    for t in range(5):
        one_object = np.where(mask == 1, mask, 0)
        allowed.append((segmenter.can_resume(), segmenter.can_resume(one_object), segmenter.can_resume(mask)))
        segmenter.step(image, mask if t == 0 else None)
    assert allowed == [(False, False, False)] + [(False, True, False)] * 4


def test_states_on_disk(tmp_path: Path) -> None:
    """Written aside and renamed, refused where the run was another, and an error of the system on a full
    disk."""
    import resource

    import torch

    from spvos_cli.errors import InputError
    from spvos_cli.inference.stream import State
    from spvos_cli.segment.resume import ResumeState, StateFile

    file = StateFile(tmp_path / "x.resume", {"size": 480, "box": ()})
    state = State(
        {"image": torch.arange(6.0).view(1, 2, 3), "bank": torch.ones(2, dtype=torch.bfloat16)}, {"a": [1]}
    )
    for saved in (ResumeState(0, {"n": 1}), ResumeState(7, {"n": 2}, state)):
        file.save(saved)
        loaded = file.load()
        assert loaded[:2] == saved[:2]
    assert loaded.segmenter.facts == state.facts
    for name, tensor in state.tensors.items():
        assert torch.equal(loaded.segmenter.tensors[name], tensor)
        assert loaded.segmenter.tensors[name].dtype == tensor.dtype
    with pytest.raises(InputError, match="had another size"):
        StateFile(file.path, {"size": 240, "box": ()}).load()
    assert [path.name for path in tmp_path.iterdir()] == ["x.resume"]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        with pytest.raises(OSError, match="too large"):
            file.save(ResumeState(9, {}, state))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.load().frame == 7
    file.path.write_bytes(b"\0" * 50)
    with pytest.raises(InputError, match="not the state of an interrupted run"):
        file.load()


def make_input(folder: Path, kind: str) -> tuple[str, list[Path]]:
    """An input and the files that it is made of."""
    from tests.conftest import write_video

    folder.mkdir()
    frames, _ = zip(*(make_frame(t) for t in range(4)), strict=True)
    if kind == "video":
        return str(write_video(folder / "in.mp4", list(frames))), [folder / "in.mp4"]
    for t, image in enumerate(frames):
        Image.fromarray(image).save(folder / f"{t}.png")
    text = str(folder) if kind == "folder" else str(folder / "*.png")
    return text, sorted(folder.iterdir())


@pytest.mark.parametrize("kind", ["video", "folder", "glob"])
def test_an_input_is_known_by_its_content(tmp_path: Path, kind: str) -> None:
    """Another place and another time are the same; another byte is not, with size and time as they were."""
    from spvos_cli.segment.resume import input_digest

    text, files = make_input(tmp_path / "a", kind)
    other, _ = make_input(tmp_path / "b", kind)
    digest = input_digest(text)
    assert digest == input_digest(other)
    os.utime(files[0], (1, 1))
    assert input_digest(text) == digest
    content = bytearray(files[0].read_bytes())
    content[len(content) // 2] ^= 1
    files[0].write_bytes(content)
    os.utime(files[0], (1, 1))
    assert input_digest(text) != digest


def test_a_large_file_is_known_by_its_size_and_its_ends(tmp_path: Path) -> None:
    from spvos_cli.segment.resume import content_digest

    file = tmp_path / "large"
    digests = set()
    for change in (None, 0, 99, 9_900, 9_999):
        content = bytearray(10_000)
        if change is not None:
            content[change] = 1
        file.write_bytes(content)
        digests.add(content_digest(file, ends=100))
    file.write_bytes(bytes(10_001))
    assert len(digests | {content_digest(file, ends=100)}) == 6


def test_a_mask_is_known_by_its_moment_and_content(tmp_path: Path) -> None:
    from spvos_cli.segment.resume import mask_digest

    (tmp_path / "masks").mkdir()
    files = [write_mask(tmp_path / "masks" / f"{t}.png", make_frame(t)[1]) for t in range(2)]
    same = write_mask(tmp_path / "same.png", make_frame(0)[1])
    assert mask_digest(f"3:{files[0]}") == mask_digest(f"003:{same}") != mask_digest(f"4:{same}")
    folder = mask_digest(str(tmp_path / "masks"))
    files[1].write_bytes(files[0].read_bytes())
    assert mask_digest(str(tmp_path / "masks")) != folder


def test_a_resumed_run_may_be_called_from_elsewhere(tmp_path: Path) -> None:
    """Outputs are named from the state's folder."""
    from spvos_cli.segment.resume import run_shape

    text, _ = make_input(tmp_path / "in", "folder")
    here = [tmp_path / "out" / name for name in ("labels", "overlay.mp4")]
    shapes = []
    for folder in ("out", "moved"):
        outputs = [tmp_path / folder / path.name for path in here]
        shapes.append(run_shape(text, [], outputs, tmp_path / folder))
    assert shapes[0] == shapes[1]
