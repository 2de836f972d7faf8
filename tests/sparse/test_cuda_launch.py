"""What surrounds the CUDA kernels: which is chosen, when cuDNN takes over, what is said where none run."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from spvos_cli.errors import InputError
from spvos_cli.measured import keep_measured, measured_file, read_measured
from spvos_cli.model.checkpoint import build_model
from spvos_cli.model.config import LITE, SPVOS, ModelConfig
from spvos_cli.model.xmem.network import XMEM
from spvos_cli.profiling.break_even import GatedShape, gated_shapes, time_median
from spvos_cli.profiling.tune import measure, tune
from spvos_cli.sparse.conv_unit import ConvUnit
from spvos_cli.sparse.kernels.cuda import CUDAKernel, source_for
from spvos_cli.sparse.kernels.cuda_launch import COMPACTION, LAYER, compile_options
from spvos_cli.sparse.kernels.cuda_limits import MEASURED_LIMITS, default_limit
from spvos_cli.sparse.kernels.limits import limit_of
from spvos_cli.sparse.kernels.reference import REFERENCE
from spvos_cli.sparse.plan import gated_convolutions
from spvos_cli.sparse.policy import SKIP
from tests.sparse.definition import folded, random_conv, random_policy
from tests.sparse.host_gpu import HostGPU, Launch, needs_compiler

MEASURED = {"float16": {"64-64-3-1": 0.25}}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return measured_file(MEASURED_LIMITS)


def test_limits_are_kept_by_card(cache: Path) -> None:
    assert read_measured(MEASURED_LIMITS, "one card") == {}
    assert keep_measured(MEASURED_LIMITS, "one card", MEASURED) == cache
    keep_measured(MEASURED_LIMITS, "another", {})
    assert read_measured(MEASURED_LIMITS, "one card") == MEASURED
    assert read_measured(MEASURED_LIMITS, "a third") == {}


@pytest.mark.parametrize("content", ["", "[]", '{"card": 3}', '{"card": {"float16": {"64-64-3-1": "low"}}}'])
def test_a_broken_cache_is_said_and_replaced(
    cache: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache.parent.mkdir()
    cache.write_text(content)
    assert read_measured(MEASURED_LIMITS, "card") == {}
    (record,) = caplog.records
    assert str(cache) in record.getMessage()
    assert "\n" not in record.getMessage()
    keep_measured(MEASURED_LIMITS, "card", MEASURED)
    assert read_measured(MEASURED_LIMITS, "card") == MEASURED


def test_limits_until_tuned() -> None:
    """Lowest where cuDNN has tensor cores and we have not."""
    assert default_limit(torch.float16, 70, tensor_cores=False) < default_limit(
        torch.float16, 80, tensor_cores=True
    )
    assert default_limit(torch.float32, 61, tensor_cores=False) == 0.5


@pytest.mark.parametrize(
    ("capability", "dtype", "source"),
    [
        (61, torch.float32, "simt.cu"),
        (70, torch.float16, "simt.cu"),
        (75, torch.float16, "mma.cu"),
        (75, torch.bfloat16, "simt.cu"),
        (80, torch.bfloat16, "mma.cu"),
        (90, torch.float32, "mma.cu"),
    ],
)
def test_sources(capability: int, dtype: torch.dtype, source: str) -> None:
    assert source_for(capability, dtype) == source


def test_headers_are_part_of_the_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy's cache on disk would not notice their changes."""
    monkeypatch.setattr("spvos_cli.sparse.kernels.cuda_launch.cuda_folder", lambda: tmp_path)
    header = tmp_path / "layer.cuh"
    header.write_text("one")
    before = compile_options(())
    header.write_text("other")
    assert compile_options(()) != before


@needs_compiler
def test_dense_layers_go_to_cudnn_and_come_back() -> None:
    """As the counts arrive, a frame late; the results are the same."""
    launches: list[Launch] = []
    kernel = CUDAKernel(HostGPU(70, on_launch=launches.append).launcher, {"float32": {"8-8-3-1": 0.5}})
    conv = folded(random_conv(0, (8, 8, 3, 1), norm=True, relu=True)).to(memory_format=torch.channels_last)
    convolved = []
    for t, density in enumerate([0.1, 0.9, 0.9, 0.1, 0.1]):
        x, output = (torch.randn(1, 8, 9, 9).contiguous(memory_format=torch.channels_last) for _ in range(2))
        policy, expected = random_policy(t, (1, 9, 9), density), output.clone()
        launches.clear()
        kernel.update(conv, x, None, policy, output)
        REFERENCE.update(conv, x, None, policy, expected)
        torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)
        convolved.append("convolve" in [launch.kernel for launch in launches])
    assert convolved == [True, True, False, False, True]


def test_tuning_needs_a_gpu() -> None:
    with pytest.raises(InputError, match="--device cuda"):
        tune(torch.device("cpu"))


@needs_compiler
def test_tuning_measures_every_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it would do on a card, on a slow one; the figures mean nothing here."""
    monkeypatch.setattr("spvos_cli.profiling.break_even.REPEATS", 1)
    monkeypatch.setattr("spvos_cli.profiling.break_even.DENSITIES", (0.1, 0.9))
    shapes = [GatedShape(8, 8, 3, 1, (6, 8)), GatedShape(8, 16, 1, 2, (6, 8))]
    found = measure(HostGPU(70).launcher, torch.device("cpu"), shapes, [torch.float32])
    assert found.keys() == {"float32"}
    assert found["float32"].keys() == {"8-8-3-1@1", "8-8-3-1@5", "8-16-1-2@1", "8-16-1-2@5"}
    assert all(0 <= limit <= 1 for limit in found["float32"].values())


@pytest.mark.parametrize("config", [LITE, SPVOS, XMEM], ids=lambda config: config.architecture)
def test_tuning_knows_all_that_gates_decide_about(config: ModelConfig) -> None:
    """One for a whole module too."""
    shapes = {case[:4] for case in gated_shapes(module=True)}
    with torch.device("meta"):
        network = build_model(dataclasses.replace(config, method="triple", gate="module"))
    convolutions = gated_convolutions(network, "D", gate_all=False).values()
    found = {(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0]) for c in convolutions}
    assert len(found) >= 5
    assert found <= shapes
    assert not found <= {case[:4] for case in gated_shapes()}


class FakeCard:
    """In the place of `torch.cuda`: graphs that count their calls, and events of a clock on which a call
    takes 3 ms on the card, whatever Python takes."""

    def __init__(self) -> None:
        self.clock, self.capturing, self.captured = 0.0, False, 0
        self.device = self.stream = lambda of: nullcontext()
        self.Stream = self.current_stream = lambda device: "stream"
        self.synchronize = lambda device: None

    def call(self) -> None:
        self.captured += self.capturing
        self.clock += 0 if self.capturing else 1000

    def CUDAGraph(self) -> SimpleNamespace:
        def replay() -> None:
            self.clock += 3 * self.captured

        return SimpleNamespace(
            capture_begin=lambda: setattr(self, "capturing", True),
            capture_end=lambda: setattr(self, "capturing", False),
            replay=replay,
        )

    def Event(self, enable_timing: bool) -> SimpleNamespace:
        event = SimpleNamespace(at=0.0, synchronize=lambda: None)
        event.record = lambda stream: setattr(event, "at", self.clock)
        event.elapsed_time = lambda end: end.at - event.at
        return event


def test_tuning_times_the_card_and_not_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some calls in a CUDA graph, from one event to another."""
    card = FakeCard()
    monkeypatch.setattr("spvos_cli.profiling.break_even.torch", SimpleNamespace(cuda=card))
    assert time_median(card.call, torch.device("cuda", 0)) == 3
    assert card.captured >= 10


@pytest.mark.parametrize(("rows", "limit"), [(1, 0.2), (2, 0.2), (3, 0.4), (5, 0.4), (9, 0.4)])
def test_limits_by_number_of_objects(rows: int, limit: float) -> None:
    """Of the number that is nearest; a table without numbers holds for any."""
    conv, table = ConvUnit(8, 16, 3), {"float32": {"8-16-3-1@1": 0.2, "8-16-3-1@5": 0.4, "8-16-3-2": 0.9}}
    assert limit_of(conv, table, 0.5, rows) == limit
    assert limit_of(ConvUnit(8, 16, 3, 2), table, 0.5, rows) == 0.9
    assert limit_of(ConvUnit(8, 16, 1), table, 0.5, rows) == 0.5
    kernel = CUDAKernel(HostGPU(70).launcher, table)
    assert kernel.limit(conv, rows) == limit


def test_cupy_passes_structs_by_value() -> None:
    """An array of the host's memory is an argument of its size, not a pointer."""
    function = pytest.importorskip("cupy.cuda.function", reason="CuPy is not installed")
    parameters = np.zeros(1, LAYER)
    assert function.CNumpyArray(parameters).ptr == parameters.ctypes.data


@needs_compiler
def test_the_launcher_and_the_sources_agree_about_structs() -> None:
    launcher = HostGPU().launcher
    wrong = launcher.compile("compact.cu", (), "compact")
    with pytest.raises(TypeError, match="bytes"):
        wrong((1,), (32,), (np.zeros(1, LAYER),))
    job = np.zeros(1, COMPACTION)
    policy, listed = np.full(1, SKIP, np.uint8), np.zeros(2, np.int32)
    job["policy"], job["pixels"], job["list"] = policy.ctypes.data, 1, listed.ctypes.data
    wrong((1,), (32,), (job,))
    assert listed[0] == 0
