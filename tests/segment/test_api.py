"""The library: loaded networks, arrays frame by frame, exact signatures, and a host process left alone."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
from PIL import Image

import spvos_cli
from spvos_cli import EngineOptions, InputError, SegmentOptions, load_model, segment_frames, segment_video
from spvos_cli.option import declaration
from spvos_cli.segment import keywords
from tests.conftest import LENGTH

Clip = tuple[list[np.ndarray], list[np.ndarray]]


@pytest.fixture
def network(weights: Path):
    return load_model(weights=weights, dtype="fp32", device="cpu")


def test_a_loaded_network_serves_several_videos(
    network, video: Path, mask: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment_video(video, mask, tmp_path / "alone", weights=weights, dtype="fp32", device="cpu")
    monkeypatch.setattr(EngineOptions, "network", lambda self: pytest.fail("loaded again"))
    for name in ("one", "two"):
        summary = segment_video(video, mask, tmp_path / name, network=network)
        assert (summary.frames, summary.objects) == (LENGTH, 2)
        for file in (tmp_path / "alone").iterdir():
            assert np.array_equal(Image.open(file), Image.open(tmp_path / name / file.name))


@pytest.mark.parametrize("option", [{"weights": "x.safetensors"}, {"dtype": "fp32"}, {"method": "dense"}])
def test_what_a_loaded_network_makes_useless_is_refused(network, video: Path, mask: Path, option) -> None:
    (name,) = option
    for call in (
        lambda: segment_video(video, mask, **option, network=network),
        lambda: segment_frames([], np.ones((2, 2), np.uint8), **option, network=network),
    ):
        with pytest.raises(InputError, match=f"--{name}: it has no effect here; expected no network"):
            call()


def test_frames_come_one_by_one(network, clip: Clip) -> None:
    images, masks = clip
    asked: list[int] = []

    def camera() -> Iterator[np.ndarray]:
        t = 0
        while True:  # without end
            asked.append(t)
            yield images[t % len(images)]
            t += 1

    found = segment_frames(camera(), masks[0], network=network)
    assert asked == []
    labels, facts = next(found)
    assert asked == [0]
    assert np.array_equal(labels, masks[0])
    assert (facts.frame, facts.objects) == (0, (1, 2))
    assert facts.areas == {i: int((masks[0] == i).sum()) for i in (1, 2)}
    _, facts = next(found)
    assert (asked, facts.frame) == ([0, 1], 1)
    _, facts = next(found)
    assert facts.frame == 2
    assert set(facts.confidence) <= {1, 2}
    assert sum(facts.policies.values()) == pytest.approx(1)
    assert facts.density is not None
    assert 0 <= facts.density <= 1


def test_masks_come_in_three_forms(network, clip: Clip) -> None:
    images, masks = clip
    one, two = (np.where(masks[t] == i, i, 0).astype(np.uint8) for t, i in ((0, 1), (2, 2)))
    forms = {"mapping": {0: one, 2: two}, "list": [one, None, two], "iterator": iter([one, None, two])}
    found = {}
    for name, form in forms.items():
        results = list(segment_frames(images[:4], form, network=network))
        assert [facts.objects for _, facts in results] == [(1,), (1,), (1, 2), (1, 2)]
        found[name] = np.stack([labels for labels, _ in results])
    assert np.array_equal(found["mapping"], found["list"])
    assert np.array_equal(found["mapping"], found["iterator"])


def test_a_mask_that_never_comes_is_said(network, clip: Clip) -> None:
    images, masks = clip
    with pytest.raises(InputError, match="mask of frame 9: no such frame came"):
        list(segment_frames(images[:3], {9: masks[0]}, network=network))
    with pytest.warns(UserWarning, match="mask of frame 9: no such frame came"):
        list(segment_frames(images[:3], {0: masks[0], 9: masks[0]}, network=network))


def test_wrong_names_and_values_are_said_at_once(video: Path, mask: Path) -> None:
    with pytest.raises(TypeError, match="colour"):
        segment_video(video, mask, colour="red")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="colours"):
        segment_frames([], {}, colours="red")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="mem_every"):
        load_model(mem_every=2)  # type: ignore[call-arg]
    for wrong in ({"stride": 0}, {"overlay_alpha": 2.0}, {"size": 5}, {"model": "wolf"}, {"format": "avi"}):
        (name,) = wrong
        with pytest.raises(InputError, match=f"--{name.replace('_', '-')} "):
            segment_video(video, mask, **wrong)


def test_keywords_are_the_fields() -> None:
    """Names and types; and every field is an option with a declaration."""
    expected = get_type_hints(EngineOptions)
    assert get_type_hints(keywords.FrameKeywords) == expected
    assert get_type_hints(keywords.VideoKeywords) == expected | get_type_hints(SegmentOptions)
    for options in (EngineOptions, SegmentOptions):
        assert all(declaration(field) for field in dataclasses.fields(options))


HOST = """
import json, os, signal, sys, warnings
import cv2, numpy as np, torch

def state():
    cv2_numbers = np.zeros(4, np.float32)
    cv2.randu(cv2_numbers, 0, 1)
    cv2.setRNGSeed(3)
    handlers = {n: str(signal.getsignal(n)) for n in signal.valid_signals() if n not in (9, 19)}
    return {
        "threads": [torch.get_num_threads(), torch.get_num_interop_threads(), cv2.getNumThreads()],
        "handlers": handlers,
        "filters": [str(f) for f in warnings.filters],
        "numpy": np.random.get_state()[1].tolist(),
        "torch": torch.get_rng_state().tolist(),
        "cv2": cv2_numbers.tolist(),
        "types": [str(torch.get_default_dtype()), torch.backends.cuda.matmul.allow_tf32],
        "gradients": torch.is_grad_enabled(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "limit": sys.getrecursionlimit(),
    }

torch.set_num_threads(2)
for seed in (np.random.seed, torch.manual_seed, cv2.setRNGSeed):
    seed(3)
state()
before = state()
import spvos_cli
for name in spvos_cli.__all__:
    getattr(spvos_cli, name)
imported = state()
video, mask, weights, out = sys.argv[1:]
network = spvos_cli.load_model(weights=weights, device="cpu")
spvos_cli.segment_video(video, mask, out + "/a", weights=weights, threads=1, backward=True)
spvos_cli.segment_video(video, (), out + "/b", box="5,12,60,48", network=network)
frames = [np.asarray(x) for x in np.zeros((3, 96, 128, 3), np.uint8)]
list(spvos_cli.segment_frames(frames, np.eye(96, 128, dtype=np.uint8), network=network, threads=1))
print(json.dumps([before, imported, state()]))
"""


def test_the_host_process_is_left_alone(video: Path, mask: Path, weights: Path, tmp_path: Path) -> None:
    """Threads, signals, warnings and random numbers are as before an import, and as before a call."""
    command = [sys.executable, "-c", HOST, str(video), str(mask), str(weights), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before, imported, called = json.loads(done.stdout)
    for name, value in before.items():
        assert imported[name] == value, f"{name} changed by the import"
        assert called[name] == value, f"{name} changed by a call"


@pytest.mark.parametrize(
    "first",
    [
        "spvos_cli.VideoSegmenter",
        pytest.param("spvos_cli.load_model()", marks=pytest.mark.slow),
        pytest.param("import torch", marks=pytest.mark.slow),
    ],
)
def test_threads_sleep_while_they_wait(first: str) -> None:
    """Beside a busy process threads that spin take most of the speed; who loads PyTorch first has them as it
    is. What OpenMP was told it prints itself."""
    script = f"import os, spvos_cli\n{first}\nassert 'OMP_WAIT_POLICY' not in os.environ"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_DISPLAY_ENV": "VERBOSE", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    spins = re.search(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    if spins is None:
        pytest.skip("PyTorch's threads are not GNU's")
    assert (int(spins[1]) > 0) == (first == "import torch")


CLIENT = """
from collections.abc import Iterator
import numpy as np
from spvos_cli import BatchSummary, FrameFacts, Summary, VideoSegmenter, load_model
from spvos_cli import segment_frames, segment_video, segment_videos

batch: BatchSummary = segment_videos([{"input": "in.mp4"}], "{name}/", mask_dir="masks", workers=2, stride=2)
summary: Summary = segment_video("in.mp4", "first.png", ["masks"], stride=2, network=load_model())
frames: list[np.ndarray] = []
found: Iterator[tuple[np.ndarray, FrameFacts]] = segment_frames(frames, {0: np.zeros((2, 2))}, size=240)
areas: dict[int, int] = next(found)[1].areas
VideoSegmenter(load_model()).step(np.zeros((2, 2, 3), np.uint8))
"""
WRONG = {
    'segment_video("in.mp4", "first.png", strid=2)': 'Unexpected keyword argument "strid"',
    'segment_video("in.mp4", "first.png", stride="2")': 'incompatible type "str"',
    "segment_frames([], {}, backward=True)": 'Unexpected keyword argument "backward"',
    'segment_videos("jobs.csv", strid=2)': 'Unexpected keyword argument "strid"',
    "load_model(top_k=3)": 'Unexpected keyword argument "top_k"',
    "spvos_cli.nothing": 'has no attribute "nothing"',
}


@pytest.mark.slow
def test_a_type_checker_sees_the_api(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    script, root = tmp_path / "client.py", Path(spvos_cli.__file__).parent
    wrong = [f"{line}  # WRONG" for line in WRONG]
    script.write_text("import spvos_cli\n" + CLIENT + "\n".join(wrong))
    assert (root / "py.typed").exists()
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--follow-imports=silent",
        "--ignore-missing-imports",
        str(script),
    ]
    done = subprocess.run(command, cwd=root.parent, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if "client.py" in line and "error" in line]
    assert len(lines) == len(WRONG), done.stdout
    for line, expected in zip(lines, WRONG.values(), strict=True):
        assert expected in line


def test_editors_see_the_api() -> None:
    assert set(spvos_cli.__all__) <= set(dir(spvos_cli))
    with pytest.raises(AttributeError, match="nothing"):
        _ = spvos_cli.nothing
