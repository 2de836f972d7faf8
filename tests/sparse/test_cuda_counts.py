"""The counts of computed pixels: when they are sent for, when they are read, and that nobody waits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from spvos_cli.sparse.kernels import cuda_counts
from spvos_cli.sparse.kernels.cuda import CUDAKernel
from spvos_cli.sparse.kernels.cuda_counts import Counts
from tests.sparse.definition import folded, random_conv
from tests.sparse.host_gpu import HostGPU, needs_compiler
from tests.sparse.rounding import channels_last

CPU = torch.device("cpu")


class FakeEvent:
    """A copy that arrives when the test says so."""

    def __init__(self) -> None:
        self.arrived = False
        self.recorded: list[Any] = []

    def record(self, stream: Any) -> None:
        self.arrived = False
        self.recorded.append(stream)

    def query(self) -> bool:
        assert self.recorded, "nothing was sent"
        return self.arrived


class Copies(TorchDispatchMode):
    """Notes for each copy whether the host would go on at once, and whatever reads a number."""

    def __init__(self) -> None:
        super().__init__()
        self.non_blocking: list[bool] = []
        self.read: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.name() == "aten::copy_":
            self.non_blocking.append(bool(args[2] if len(args) > 2 else (kwargs or {}).get("non_blocking")))
        if func.name() == "aten::_local_scalar_dense":
            self.read.append(func.name())
        return func(*args, **(kwargs or {}))


@pytest.fixture
def event(monkeypatch: pytest.MonkeyPatch) -> FakeEvent:
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: ("stream", device))
    return FakeEvent()


def frame(counts: Counts, computed: dict[int, int], pixels: int = 10) -> None:
    """What the kernels do: a layer's counter is cleared, and counts."""
    for layer, number in computed.items():
        counts.begin(layer, pixels).add_(number)


def test_a_frame_is_known_when_its_copy_has_arrived(event: FakeEvent) -> None:
    counts = Counts(CPU, event)
    first, second = counts.new_layer(), counts.new_layer()
    frame(counts, {first: 3, second: 9})
    assert [counts.density(layer) for layer in (first, second)] == [0, 0]
    assert not event.recorded  # the frame has not ended, for all that is known
    frame(counts, {first: 4, second: 5})
    assert event.recorded == [("stream", CPU)]  # the device's stream: another may be the current device
    assert [counts.density(layer) for layer in (first, second)] == [0, 0]
    event.arrived = True
    assert [counts.density(layer) for layer in (first, second)] == [0.3, 0.9]
    frame(counts, {first: 0, second: 0})
    event.arrived = True
    assert [counts.density(layer) for layer in (first, second)] == [0.4, 0.5]


def test_a_copy_on_its_way_is_not_written_over(event: FakeEvent) -> None:
    counts = Counts(CPU, event)
    layer = counts.new_layer()
    for number in (1, 2, 3, 4):
        frame(counts, {layer: number})
    assert len(event.recorded) == 1
    event.arrived = True
    assert counts.density(layer) == 0.1
    frame(counts, {layer: 5})
    event.arrived = True
    assert counts.density(layer) == 0.4


def test_a_layer_that_did_not_run_keeps_its_density(event: FakeEvent) -> None:
    """The memory encoder's run on memory frames alone."""
    counts = Counts(CPU, event)
    often, rarely = counts.new_layer(), counts.new_layer()
    frame(counts, {often: 1, rarely: 7})
    for number in (2, 3):
        frame(counts, {often: number}, pixels=20)
        event.arrived = True
        assert counts.density(rarely) == 0.7
    assert counts.density(often) == 0.1


def test_one_copy_a_frame_and_nobody_waits(event: FakeEvent) -> None:
    counts = Counts(CPU, event)
    layers = [counts.new_layer() for _ in range(45)]
    with Copies() as copies:
        for _ in range(4):
            frame(counts, dict.fromkeys(layers, 1))
            event.arrived = True
            assert counts.density(layers[0]) in (0, 0.1)
    assert copies.non_blocking == [True] * 3
    assert not copies.read


@pytest.mark.parametrize("on_its_way", [False, True])
def test_nothing_is_sent_or_asked_for_while_a_graph_is_captured(
    event: FakeEvent, monkeypatch: pytest.MonkeyPatch, on_its_way: bool
) -> None:
    """Only the counter is cleared, in the graph; a copy that was on its way is asked for afterwards."""
    counts = Counts(CPU, event)
    layer = counts.new_layer()
    frame(counts, {layer: 3})
    if on_its_way:
        frame(counts, {layer: 4})
        event.arrived = True
    monkeypatch.setattr(cuda_counts, "is_capturing", lambda device: True)
    with Copies() as copies:
        for number in (1, 2):
            frame(counts, {layer: number})
            assert counts.density(layer) == 0
    assert not copies.non_blocking
    assert len(event.recorded) == on_its_way
    assert counts.begin(layer, 10).item() == 0
    monkeypatch.setattr(cuda_counts, "is_capturing", lambda device: False)
    assert counts.density(layer) == (0.3 if on_its_way else 0)
    frame(counts, {layer: 5})
    assert len(event.recorded) == 1 + on_its_way


@needs_compiler
@pytest.mark.parametrize("adds", [False, True])
def test_each_stream_has_its_own(adds: bool) -> None:
    """One that computes everything does not make another go to cuDNN, in the same network."""
    launched: list[list[str]] = [[], []]
    conv = folded(random_conv(0, (8, 8, 1, 1), norm=False, relu=False))
    conv = conv.to(memory_format=torch.channels_last)
    x = channels_last(torch.randn(1, 8, 4, 4))
    limits = {"float32": {"8-8-1-1": 0.5}}
    kernels = [
        CUDAKernel(
            HostGPU(70, on_launch=lambda launch, names=names: names.append(launch.kernel)).launcher, limits
        )
        for names in launched
    ]
    for _ in range(3):
        for kernel, choice in zip(kernels, (1, 2), strict=True):
            policy = torch.full((1, 4, 4), choice, dtype=torch.uint8)
            output = channels_last(torch.zeros(1, 8, 4, 4))
            if adds:
                kernel.add(conv, x, policy, output)
            else:
                kernel.update(conv, x, None, policy, output)
            expected = conv.dense(x) - (conv.bias[:, None, None] if adds else 0)
            torch.testing.assert_close(output, expected * (choice == 2), atol=1e-5, rtol=1e-5)
    assert launched[0] == ["compact", "convolve"] * 3
    assert launched[1] == ["compact", "convolve", "compact", "compact"]
