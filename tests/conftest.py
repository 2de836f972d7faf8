"""What many tests use: a small moving clip with known masks, as frames, as a video, and its first mask."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from spvos_cli.__main__ import main
from spvos_cli.video.palettes import indexed_image, voc_palette

HEIGHT, WIDTH, LENGTH = 96, 128, 8
Command = Callable[[str], tuple[int, str, str]]

# Two threads that wait for each other on a busy machine take ten times as long as one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Shells start what runs in the background with SIGINT ignored, which processes of tests would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Where there is no PyAV, what touches no video is tested all the same."""
    report = yield
    if report.failed and "No module named 'av'" in str(report.longrepr):
        report.outcome, report.longrepr = "skipped", (str(collector.path), 0, "PyAV is not installed")
    return report


def make_frame(t: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright square and a blue disk that move over a gradient: (H, W, 3) and (H, W) ids 1 and 2."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    image = np.stack([x, 255 - x, y * 2], axis=2).astype(np.uint8)
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    ids[20:50, 10 + 4 * t : 40 + 4 * t] = 1
    ids[(y - 65) ** 2 + (x - 95 + 3 * t) ** 2 < 18**2] = 2
    image[ids == 1], image[ids == 2] = (250, 240, 60), (30, 30, 220)
    return image, ids


def write_mask(path: Path, ids: np.ndarray) -> Path:
    indexed_image(ids, voc_palette()).save(path)
    return path


def write_video(
    path: Path,
    frames: list[np.ndarray],
    pts: list[int] | None = None,
    *,
    rotation: int = 0,
    sound: bool = False,
) -> Path:
    """H.264 in the container that the suffix names; pts in 1/90000 s, by default 25 frames a second."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10", "bf": "0"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 90000)
        if rotation:
            stream.set_display_rotation(rotation)
        audio = container.add_stream("aac", rate=44100, layout="mono") if sound else None
        for i, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = pts[i] if pts else 3600 * i, Fraction(1, 90000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for i in range(8 if sound else 0):
            tone = np.sin(np.arange(1764 * i, 1764 * (i + 1)) * 0.06).astype(np.float32)[None]
            samples = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            samples.rate, samples.pts, samples.time_base = 44100, 1764 * i, Fraction(1, 44100)
            container.mux(audio.encode(samples))
        if audio:
            container.mux(audio.encode(None))
    return path


def run_to_end(arguments: list[str], *, processes: int = 1, patience: float = 120) -> str:
    """What `spvos ARGUMENTS` prints to stdout; torchrun starts it where it is to have several processes.

    Args:
        patience: seconds after which the test fails with what was printed, and where each process stands.
    """
    many = ["torch.distributed.run", "--nproc-per-node", str(processes), "--standalone", "-m"]
    command = [sys.executable, "-m", *(many if processes > 1 else []), "spvos_cli", *arguments]
    own = {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
    pipe = subprocess.PIPE
    started = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **own})
    try:
        out, err = started.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        for process in (*_children(started.pid), started.pid):
            os.kill(process, signal.SIGABRT)  # Python's fault handler prints the stack
        out, err = started.communicate()
        pytest.fail(f"no end after {patience} s\n{out}\n{err}")
    assert started.returncode == 0, err
    return out


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.fixture
def spvos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `spvos ARGUMENTS` in a fresh folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["spvos", *arguments.split()])
        with pytest.raises(SystemExit) as exit:
            main()
        return (exit.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def clip() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Frames and label maps."""
    frames, masks = zip(*(make_frame(t) for t in range(LENGTH)), strict=True)
    return list(frames), list(masks)


@pytest.fixture
def video(tmp_path: Path, clip: tuple[list[np.ndarray], list[np.ndarray]]) -> Path:
    return write_video(tmp_path / "clip.mp4", clip[0])


@pytest.fixture
def mask(tmp_path: Path, clip: tuple[list[np.ndarray], list[np.ndarray]]) -> Path:
    return write_mask(tmp_path / "first.png", clip[1][0])


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lite network with gates, fresh from its random start: what it finds is nonsense, and the same every
    time."""
    import torch

    from spvos_cli.model.checkpoint import build_model, save_weights
    from spvos_cli.model.config import LITE

    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = build_model(dataclasses.replace(LITE, method="triple"))
        for name, parameter in network.named_parameters():
            if ".gate." in name:
                torch.nn.init.normal_(parameter, std=0.05)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_weights(network, path)
    return path


@pytest.fixture
def ffmpeg() -> str:
    """A real one."""
    if found := shutil.which("ffmpeg"):
        return found
    return pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
