"""Which engine a card is found to be faster with, and what follows from it; on a CPU that stands for one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from spvos_cli.inference.dense_engine import MEASURED_ENGINES, fastest_engine, use_engine
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.measured import keep_measured
from spvos_cli.model.backends.graphs import Replayed, put_in
from spvos_cli.model.checkpoint import build_model
from spvos_cli.model.network import VOSNetwork
from spvos_cli.profiling.engine_speed import measure_engines
from tests.hosts import small
from tests.model.fake_recorder import FakeRecorder

CARD = "a card"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def measured(*, wrong: bool) -> dict[str, dict[str, float]]:
    """With graphs that give other labels, or the same."""

    def load(options: EngineOptions) -> VOSNetwork:
        torch.manual_seed(0)
        network = build_model(small("lite")).for_inference(torch.device("cpu"), torch.float32)
        if options.engine == "graphs":
            put_in(network, FakeRecorder())
            if wrong:
                network.decoder.predict.bias.data += 50
        return network

    return measure_engines(torch.device("cpu"), ["fp32"], load, length=6)


def test_engines_are_timed_by_type(caplog: pytest.LogCaptureFixture) -> None:
    found = measured(wrong=False)
    assert found.keys() == {"float32"}
    assert found["float32"].keys() == {"torch", "graphs"}
    assert all(ms > 0 for ms in found["float32"].values())
    assert not caplog.records


def test_an_engine_with_other_labels_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    assert measured(wrong=True)["float32"].keys() == {"torch"}
    assert [r.getMessage() for r in caplog.records] == [
        "--engine graphs gives other labels in fp32, and is not used"
    ]


@pytest.mark.parametrize(("graphs", "chosen"), [(2.0, "graphs"), (9.0, "torch")])
def test_auto_takes_the_faster_one_of_what_was_measured(
    graphs: float, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this type, on a card of this name; PyTorch where nothing was measured."""
    keep_measured(MEASURED_ENGINES, CARD, {"float16": {"torch": 8.0, "graphs": graphs}})
    assert fastest_engine(CARD, torch.float16) == chosen
    assert fastest_engine(CARD, torch.float32) == fastest_engine("another", torch.float16) == "torch"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: CARD)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
    network, card = build_model(small("lite")), SimpleNamespace(type="cuda")
    use_engine(network, "auto", card, torch.float16, 1)
    assert isinstance(network.encode_query, Replayed) == (chosen == "graphs")
    for engine, learns in (("torch", False), ("auto", True)):
        plain = build_model(small("lite"))
        use_engine(plain, engine, card, torch.float16, 1, learns=learns)
        assert not isinstance(plain.encode_query, Replayed)
