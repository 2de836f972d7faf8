"""spvos annotate in the terminal: the address, Ctrl-C, and what its options do."""

from __future__ import annotations

import http.cookiejar
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Command

pytest.importorskip("starlette", reason="the extra annotate is not installed")
pytest.importorskip("uvicorn", reason="the extra annotate is not installed")

import uvicorn

from spvos_cli.annotate import serve
from spvos_cli.annotate.session import Session

Run = Callable[..., list[str]]


@pytest.fixture
def run(spvos: Command, video: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`spvos annotate clip.mp4 OPTIONS` with Ctrl-C at once: the lines on stdout."""

    def interrupt(self: object, sockets: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(uvicorn.Server, "run", interrupt)
    for name in ("SSH_CONNECTION", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    usual = f"--weights {weights} --dtype fp32 --engine torch"

    def run(options: str = "") -> list[str]:
        code, out, error = spvos(f"annotate clip.mp4 {usual} {options}")
        assert code == 0, error
        return out.splitlines()

    return run


def test_a_process_from_start_to_ctrl_c(video: Path, weights: Path) -> None:
    """It answers who has the address, and the command that it prints has all that it was given."""
    command = [sys.executable, "-m", "spvos_cli", "annotate", video.name, "--no-browser", "--size", "96"]
    command += ["--weights", str(weights), "--dtype", "fp32", "--engine", "torch", "--no-reuse", "--quiet"]
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=video.parent, env=environment, stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stdout
        address = process.stdout.readline().strip()
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        opener = urllib.request.build_opener(jar)
        assert b"spvos annotate" in opener.open(address).read()
        base = address.split("?")[0]
        status = json.load(opener.open(base + "status"))
        assert status["frames"] == 8
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(base + "status")
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    words = shlex.split(out.strip())
    assert words == shlex.split(status["command"])
    assert words[:5] == ["spvos", "segment", video.name, "--mask", "clip_annotations"]
    assert words[5:12] == ["--weights", str(weights), "--size", "96", "--no-reuse", "--dtype", "fp32"]


def test_lines(run: Run) -> None:
    address, command = run()
    assert address.startswith("http://127.0.0.1:")
    assert len(address.split("token=")[1]) == 32
    assert command.startswith("spvos segment clip.mp4 --mask clip_annotations")


def test_through_ssh(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 5000 192.0.2.7 22")
    address, hint, _ = run()
    port = address.split(":")[2].split("/")[0]
    assert f"ssh -L {port}:127.0.0.1:{port} 192.0.2.7" in hint


@pytest.mark.parametrize(("options", "opened"), [("", 1), ("--no-browser", 0)])
def test_a_browser_is_opened_where_there_is_a_display(
    run: Run, monkeypatch: pytest.MonkeyPatch, options: str, opened: int
) -> None:
    addresses: list[str] = []
    monkeypatch.setattr(serve.webbrowser, "open", addresses.append)
    run(options)
    assert not addresses
    monkeypatch.setenv("DISPLAY", ":0")
    lines = run(options)
    assert addresses == lines[:1] * opened


def test_port(run: Run, spvos: Command, weights: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, error = spvos(f"annotate clip.mp4 --weights {weights} --port {port}")
    assert code == 2
    assert "expected a port that is free" in error
    assert run(f"--port {port}")[0].startswith(f"http://127.0.0.1:{port}/")


def test_masks_frames_and_network(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those of the session, and of the command."""
    sessions: list[Session] = []
    monkeypatch.setattr(serve, "make_app", sessions.append)
    command = run(
        "--masks theirs --track 0 --mem-every 2 --top-k 5 --max-memory 1 --region off --method dense"
    )[1]
    (session,) = sessions
    assert session.folder == Path("theirs")
    segmenter = session.follower.make_segmenter()
    assert (segmenter.mem_every, segmenter.top_k, segmenter.max_memory, segmenter.region) == (2, 5, 1, False)
    for words in (
        "--mask theirs",
        "--track 0",
        "--mem-every 2",
        "--top-k 5",
        "--max-memory 1",
        "--region off",
    ):
        assert words in command


def test_nobody_asks_for_long(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends by itself, and says the same."""
    import time

    def wait(self: uvicorn.Server, sockets: object) -> None:
        deadline = time.monotonic() + 20
        while not self.should_exit:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    monkeypatch.setattr(uvicorn.Server, "run", wait)
    monkeypatch.setattr(serve, "IDLE", 0.1)
    assert run()[1].startswith("spvos segment")


def test_without_the_extra(spvos: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spvos_cli.annotate.serve", None)
    code, _, error = spvos("annotate clip.mp4")
    assert code == 2
    assert "pip install 'spvos[annotate]'" in error


@pytest.mark.parametrize("given", ["-", "https://example.org/a.mp4", "nothing.mp4", "text.mp4"])
def test_what_cannot_be_annotated(spvos: Command, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    """It is told before a network is loaded."""
    monkeypatch.setattr("spvos_cli.inference.engine.EngineOptions.network", None)
    Path("text.mp4").write_text("text")
    code, _, error = spvos(f"annotate {given}")
    assert code == 2
    assert error.count("\n") == 1


def test_masks_that_are_a_file(run: Run, spvos: Command, mask: Path, weights: Path) -> None:
    code, _, error = spvos(f"annotate clip.mp4 --weights {weights} --masks {mask}")
    assert code == 2
    assert "a folder, or none yet (--masks FOLDER)" in error


def test_no_input(spvos: Command) -> None:
    code, _, error = spvos("annotate")
    assert code == 2
    assert "spvos annotate INPUT" in error


def test_segment_without_a_mask_names_it(spvos: Command, video: Path) -> None:
    code, _, error = spvos("segment clip.mp4")
    assert code == 2
    assert "spvos annotate clip.mp4" in error


def test_a_glob_without_quotes(spvos: Command) -> None:
    code, _, said = spvos("annotate 1.png 2.png 3.png")
    assert code == 2
    assert "more than one INPUT; several images are a folder, or a glob in quotes" in said
