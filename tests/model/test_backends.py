"""Other engines against PyTorch, which is the definition."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from spvos_cli.errors import InputError
from spvos_cli.inference.load import load_model
from spvos_cli.model.backends.trunk import openvino_trunk
from spvos_cli.model.efficientnet import EfficientNetLite

needs_openvino = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="no OpenVINO")


@needs_openvino
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.bfloat16, 5e-2)])
def test_openvino_equals_torch(dtype: torch.dtype, error: float) -> None:
    """The largest error, by the range of the features; sizes change, and what was returned stays."""
    trunk = load_model(dtype="fp32", engine="torch").query_encoder.trunk
    engine = openvino_trunk(trunk, dtype, threads=1)
    images = [torch.randn(1, 3, *size) for size in ((64, 96), (160, 32), (64, 96))]
    with torch.inference_mode():
        found = [engine(image.to(dtype, memory_format=torch.channels_last)) for image in images]
        for image, features in zip(images, found, strict=True):
            for feature, expected in zip(features, trunk(image), strict=True):
                assert feature.dtype == dtype
                assert feature.is_contiguous(memory_format=torch.channels_last)
                assert (feature.float() - expected).abs().max() <= error * expected.abs().max()


@needs_openvino
def test_several_threads_may_share_one_trunk() -> None:
    trunk = EfficientNetLite().eval()
    engine = openvino_trunk(trunk, torch.float32, threads=1)
    images = [torch.randn(1, 3, 64, 64) for _ in range(24)]
    alone = [engine(image)[2] for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: engine(image)[2], images))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


@needs_openvino
def test_auto_takes_openvino_and_torch_does_not() -> None:
    engines = {name: load_model(engine=name).query_encoder.engine for name in ("auto", "torch", "openvino")}
    assert engines["torch"] is None
    assert type(engines["auto"]) is type(engines["openvino"]) is not type(None)


@needs_openvino
def test_nothing_is_reported_over_the_network() -> None:
    """OpenVINO's package says that it was imported, from a thread and a process that it starts."""
    code = """
import socket, sys, threading
def refuse(*_): raise AssertionError("a connection")
socket.socket.connect = socket.getaddrinfo = refuse
from spvos_cli.inference.load import load_model
assert load_model(engine="openvino").query_encoder.engine is not None
assert "openvino" in sys.modules
assert not [name for name in sys.modules if name.startswith("openvino_telemetry")]
assert threading.active_count() == 1, threading.enumerate()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_without_openvino_torch_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default; whoever asks for it is told."""
    monkeypatch.setattr("spvos_cli.model.backends.trunk.MODULE", "openvino_that_nobody_has")
    monkeypatch.setitem(sys.modules, "spvos_cli.model.backends.openvino", None)
    assert load_model().query_encoder.engine is None
    with pytest.raises(InputError, match="--engine openvino"):
        load_model(engine="openvino")


SIGNAL_AFTER_MODELS = """
import os, signal
from spvos_cli import load_model
models = [load_model(engine="openvino", dtype="fp32") for _ in range(3)]
while models:
    del models[0]  # the oldest first
signal.signal(signal.SIGUSR1, lambda number, frame: print("handled"))
os.kill(os.getpid(), signal.SIGUSR1)
"""


@needs_openvino
@pytest.mark.skipif(sys.platform != "linux", reason="signal stacks of Linux")
def test_signals_are_handled_after_models_are_gone() -> None:
    done = subprocess.run([sys.executable, "-c", SIGNAL_AFTER_MODELS], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
