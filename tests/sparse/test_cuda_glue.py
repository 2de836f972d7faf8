"""Between the launcher and a card: what CuPy is asked for, on which device and stream; a fake one answers."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from spvos_cli.sparse.kernels import kernel_for
from spvos_cli.sparse.kernels.cuda import CUDAKernel
from spvos_cli.sparse.kernels.cuda_launch import COMPACTION, Card, Launcher, cupy_launcher
from spvos_cli.sparse.kernels.reference import REFERENCE
from tests.sparse.fake_cupy import FakeCuPy


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuPy]:
    cupy_launcher.cache_clear()
    yield FakeCuPy().install(monkeypatch)
    cupy_launcher.cache_clear()


def start(launcher: Launcher) -> None:
    launcher.start("compact.cu", (), "compact", 3, 256, np.zeros(1, COMPACTION))


@pytest.mark.parametrize(("index", "card"), [(0, Card(86, 28)), (1, Card(75, 40))])
def test_the_card(cupy: FakeCuPy, index: int, card: Card) -> None:
    """Its compute capability decides about tensor cores, its multiprocessors about the grid."""
    assert cupy_launcher(index).card == card


@pytest.mark.parametrize("index", [0, 1])
def test_launches_go_to_torchs_current_stream(cupy: FakeCuPy, index: int) -> None:
    """Of the launcher's device, as it is at that moment; the module is loaded on that device."""
    launcher = cupy_launcher(index)
    start(launcher)
    cupy.stream_of[index] = 77
    start(launcher)
    compiled, first, second = cupy.calls
    assert (compiled.what, compiled.device) == ("compile", index)
    assert [(call.what, call.device, call.stream) for call in (first, second)] == [
        ("launch", index, 10 + index),
        ("launch", index, 77),
    ]
    assert first.arguments[:3] == ("compact", (3,), (256,))


def test_each_set_of_options_is_compiled_once(cupy: FakeCuPy) -> None:
    launcher = cupy_launcher(0)
    defines = [
        ("ELEMENT=float", "ALIGNED=1"),
        ("ELEMENT=__half", "ALIGNED=1"),
        ("ELEMENT=float", "ALIGNED=1"),
    ]
    functions = [launcher.compile("simt.cu", define, "convolve") for define in defines]
    assert functions[0] is functions[2] is not functions[1]
    options = [set(call.arguments[1]) for call in cupy.calls]
    assert len(options) == 2
    assert "-DELEMENT=float" in options[0]
    assert "-DELEMENT=__half" in options[1]


def test_without_cupy_one_line_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cupy_launcher.cache_clear()
    monkeypatch.setitem(sys.modules, "cupy", None)
    with caplog.at_level(logging.WARNING):
        assert kernel_for(torch.device("cuda")) is REFERENCE
    (record,) = caplog.records
    assert "cupy" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_a_cupy_that_fails_is_said_in_one_line(cupy: FakeCuPy, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever it raises, from whichever source."""
    cupy.fails = {"compact"}
    assert kernel_for(torch.device("cuda")) is REFERENCE
    (record,) = caplog.records
    assert "cannot compile compact" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_a_cupy_that_works(cupy: FakeCuPy, caplog: pytest.LogCaptureFixture) -> None:
    found = kernel_for(torch.device("cuda", 1))
    assert isinstance(found, CUDAKernel)
    assert found.launcher is cupy_launcher(1)
    assert not caplog.records
