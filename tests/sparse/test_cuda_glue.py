"""Between the launcher and a card: what CuPy is asked for, on which device and stream; a fake one answers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from spvos_cli.sparse.kernels import kernel_for
from spvos_cli.sparse.kernels.cuda import COMPACT, CUDAKernel, programs
from spvos_cli.sparse.kernels.cuda_launch import COMPACTION, Card, Launcher, cupy_launcher
from spvos_cli.sparse.kernels.reference import REFERENCE
from tests.sparse.fake_cupy import FakeCuPy


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuPy]:
    cupy_launcher.cache_clear()
    yield FakeCuPy().install(monkeypatch)
    cupy_launcher.cache_clear()


def start(launcher: Launcher) -> None:
    launcher.start(COMPACT, 3, 256, np.zeros(1, COMPACTION))


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
    assert kernel_for(torch.device("cuda", 0), torch.float16) is REFERENCE
    (record,) = caplog.records
    assert "cupy" in record.getMessage()
    assert "\n" not in record.getMessage()


@pytest.mark.parametrize("failing", ["compact", "decide", "convolve", "ALIGNED=0"])
def test_a_cupy_that_fails_is_said_in_one_line(
    cupy: FakeCuPy, failing: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it raises, from whichever source: not at the first sparse frame."""
    cupy.fails = {failing}
    assert kernel_for(torch.device("cuda", 0), torch.float16) is REFERENCE
    (record,) = caplog.records
    assert f"cannot compile {failing}" in record.getMessage()
    assert "\n" not in record.getMessage()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("index", [0, 1])
def test_all_that_a_type_needs_is_compiled_at_once(
    cupy: FakeCuPy, index: int, dtype: torch.dtype, caplog: pytest.LogCaptureFixture
) -> None:
    """On the device that is asked for; no frame waits for a compiler, whatever its layers' channels."""
    found = kernel_for(torch.device("cuda", index), dtype)
    assert isinstance(found, CUDAKernel)
    assert found.launcher is cupy_launcher(index)
    assert found.launcher.device == torch.device("cuda", index)
    compiled = [call for call in cupy.calls if call.what == "compile"]
    assert [call.device for call in compiled] == [index] * 4
    for program in programs(found.launcher.card.capability, dtype):
        found.launcher.start(program, 1, 32, np.zeros(1, COMPACTION))
    assert len([call for call in cupy.calls if call.what == "compile"]) == 4
    assert not caplog.records


def test_the_current_device_where_none_is_named(cupy: FakeCuPy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    found = kernel_for(torch.device("cuda"), torch.float16)
    assert isinstance(found, CUDAKernel)
    assert found.launcher is cupy_launcher(1)


def test_slow_compilers_are_said(
    cupy: FakeCuPy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After a second, with how far it is."""
    seconds = iter([0.0, 0.3, 0.7, 1.4])
    monkeypatch.setattr("spvos_cli.sparse.kernels.time", SimpleNamespace(monotonic=lambda: next(seconds)))
    kernel_for(torch.device("cuda", 0), torch.float16)
    (record,) = caplog.records
    assert "3 of 4" in record.getMessage()
