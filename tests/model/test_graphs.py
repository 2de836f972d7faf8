"""What is recorded gives what it would give anew."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from spvos_cli.errors import InputError
from spvos_cli.inference.dense_engine import use_engine
from spvos_cli.inference.load import load_model
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.model.backends import graphs
from spvos_cli.model.backends.graphs import CUDARecorder, Replayed, put_in
from spvos_cli.model.checkpoint import build_model
from spvos_cli.model.hosts import HOSTS
from spvos_cli.model.matching import grouped_top_k_readout
from spvos_cli.model.network import VOSNetwork
from tests.conftest import make_frame
from tests.hosts import small
from tests.model.fake_recorder import FakeRecorder

CPU = torch.device("cpu")


def network_of(host: str, **gates: object) -> VOSNetwork:
    torch.manual_seed(0)
    fields = {"max_memory": 2, "mem_every": 3} | gates
    return build_model(small(host, **fields)).for_inference(CPU, torch.float32)


def follow(network: VOSNetwork, **options: Any) -> list[Tensor]:
    """Objects join, leave and are corrected; the last frames are of another size."""
    segmenter, found = VideoSegmenter(network, size=64, region=False, **options), []
    segmenter._stream.read_top_k = grouped_top_k_readout
    for t in range(26):
        image, ids = make_frame(t % 12)
        given = {0: ids == 1, 9: ids, 14: ids == 2}.get(t)
        if t == 12:
            segmenter.remove_object(1)
        if t > 22:
            image, given = np.ascontiguousarray(image[:64]), None
        segmenter.step(image, given)
        found.append(segmenter.prob.clone())
    return found


@pytest.fixture(autouse=True)
def as_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spvos_cli.inference.stream.merges_background", lambda *_: False)
    monkeypatch.setattr(graphs, "CALLS", 2)


@pytest.mark.parametrize("gates", [{}, {"method": "triple", "structure": "D"}], ids=["dense", "triple"])
@pytest.mark.parametrize("host", HOSTS)
def test_streams_are_the_same(host: str, gates: dict[str, str]) -> None:
    expected, network, fake = follow(network_of(host, **gates)), network_of(host, **gates), FakeRecorder()
    put_in(network, fake)
    for found, each in zip(follow(network), expected, strict=True):
        assert torch.equal(found, each)
    assert fake.recorded >= 4
    assert fake.replayed > 20


def test_what_memory_is_used_is_counted() -> None:
    """Matching adds it to a tensor that it is given, which is not recorded."""
    network, fake = network_of("xmem", prototypes=4), FakeRecorder()
    expected = follow(network, long_memory=20)
    put_in(network, fake)
    for found, each in zip(follow(network, long_memory=20), expected, strict=True):
        assert torch.equal(found, each)
    assert network.match.recordings == {}
    assert network.decode_step.recordings


@torch.inference_mode()
def test_results_stay() -> None:
    fake = FakeRecorder()
    double = Replayed(lambda x, factor=2, other=None: (x * factor, None), fake)
    found = [double(torch.full((2, 3), float(n)), factor=3)[0] for n in range(5)]
    assert [x.unique().tolist() for x in found] == [[0.0], [3.0], [6.0], [9.0], [12.0]]
    assert fake.recorded == 1
    assert double(torch.ones(2, 3), factor=5)[0].unique().tolist() == [5]  # another factor is another call
    assert double(torch.ones(3, 2).T, factor=3)[0].unique().tolist() == [3]  # however it lies in memory
    for _ in range(3):  # nobody knows what that is
        assert double(torch.ones(2, 3), other=object())[0].unique().tolist() == [2]
    assert fake.recorded == 1
    with torch.inference_mode(False):
        assert double(torch.ones(2, 3, requires_grad=True), factor=3)[0].requires_grad


@torch.inference_mode()
def test_few_recordings_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes that come again after others are recorded again."""
    monkeypatch.setattr(graphs, "GRAPHS", 2)
    fake = FakeRecorder()
    square = Replayed(lambda x: x * x, fake)
    for size in (1, 2, 3, 1):
        for n in (2.0, 3.0, 4.0):
            assert square(torch.full((size,), n)).tolist() == [n * n] * size
        assert len(square.recordings) <= 2
    assert fake.recorded == 4


@torch.inference_mode()
def test_what_cannot_be_recorded_runs_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    """One line says so, once."""

    def record(function: Callable[[], Any]) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    square = Replayed(lambda x: x * x, SimpleNamespace(record=record))
    assert [square(torch.tensor(float(n))).item() for n in range(5)] == [0, 1, 4, 9, 16]
    assert [r.getMessage() for r in caplog.records] == [
        "no CUDA graphs, so frames take longer: operation not permitted when stream is capturing"
    ]


def test_cudas_recorder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs share their memory; what was captured is what is replayed."""
    pools, calls = [], []

    class Graph:
        def replay(self) -> None:
            calls.append(self)

    @contextmanager
    def capture(graph: Graph, pool: str):
        pools.append(pool)
        yield

    @contextmanager
    def device(which: torch.device):
        yield

    card = {"graph_pool_handle": lambda: "pool", "CUDAGraph": Graph, "graph": capture, "device": device}
    for name, value in card.items():
        monkeypatch.setattr(torch.cuda, name, value)
    recorder = CUDARecorder(torch.device("cuda"))
    results = [recorder.record(lambda n=n: n) for n in (1, 2)]
    for _, replay in results:
        replay()
    assert [result for result, _ in results] == [1, 2]
    assert pools == ["pool", "pool"]
    assert len(set(calls)) == 2


def test_graphs_are_a_cards() -> None:
    with pytest.raises(InputError, match=r"--engine graphs: the device is a CPU.*--engine auto"):
        load_model(engine="graphs", device="cpu")
    network = network_of("lite")
    with pytest.raises(InputError, match="--engine graphs"):
        use_engine(network, "graphs", CPU, torch.float32, 1)
