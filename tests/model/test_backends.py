"""Other engines against PyTorch, which is the definition."""

from __future__ import annotations

import dataclasses
import importlib.util
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from spvos_cli.errors import InputError
from spvos_cli.inference.dense_engine import use_engine
from spvos_cli.inference.load import load_model
from spvos_cli.model.checkpoint import build_model
from spvos_cli.model.config import SPVOS
from spvos_cli.model.encoders import Query
from spvos_cli.sparse.kernels.reference import REFERENCE
from spvos_cli.sparse.run import InferenceRun

needs_openvino = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="no OpenVINO")


@pytest.fixture(scope="module")
def network():
    """float32; the weights that ship, so that features have real ranges."""
    return load_model(dtype="fp32", engine="torch")


def both(network, dtype: torch.dtype):
    """By module, PyTorch's function and the engine's."""
    torch_query, memory, decoder = network.query_encoder, network.memory_encoder, network.decoder
    return {
        "query": (torch_query, lite_engine().LiteQueryEngine(torch_query, dtype, threads=1)),
        "memory": (memory, lite_engine().LiteMemoryEngine(memory, dtype, threads=1)),
        "decoder": (decoder, lite_engine().LiteDecoderEngine(decoder, dtype, threads=1)),
    }


def lite_engine():
    return importlib.import_module("spvos_cli.model.backends.lite_engine")


def assert_near(found: torch.Tensor, expected: torch.Tensor, error: float) -> None:
    assert found.shape == expected.shape
    assert (found.float() - expected).abs().max() <= error * expected.abs().max()


@needs_openvino
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.bfloat16, 6e-2)])
@torch.inference_mode()
def test_openvino_equals_torch(network, dtype: torch.dtype, error: float) -> None:
    """The largest error, by the features' range; sizes and objects change, and what was returned stays."""
    modules, results = both(network, dtype), []
    for objects, height, width in ((1, 64, 96), (3, 160, 32), (1, 64, 96)):
        image, masks = torch.randn(1, 3, height, width), torch.rand(1, objects, height, width)
        query, found = (
            module(image.to(x)) for module, x in zip(modules["query"], (torch.float32, dtype), strict=True)
        )
        results += list(zip(found, query, strict=True))
        memory, engine = modules["memory"]
        value = memory(image, query, masks)
        results.append((engine(query.f16.to(dtype), masks), value))
        readout = torch.randn(1, objects, 2 * value.shape[2], height // 16, width // 16)
        decoder, engine = modules["decoder"]
        results.append(
            (engine(readout.to(dtype), Query(*(x.to(dtype) for x in query))), decoder(readout, query))
        )
    for found, expected in results:
        assert_near(found, expected, error)
    features = results[0][0]
    assert features.dtype == dtype
    assert features.is_contiguous(memory_format=torch.channels_last)


@needs_openvino
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
@torch.inference_mode()
def test_query_encoder_of_the_paper(dtype: torch.dtype, error: float) -> None:
    """In the place of PyTorch's modules by default in bfloat16 alone, and never where gates decide."""
    torch.manual_seed(0)
    network = build_model(SPVOS).for_inference(torch.device("cpu"), dtype)
    image = torch.randn(1, 3, 64, 96).to(dtype, memory_format=torch.channels_last)
    expected = network.encode_query(image)
    use_engine(network, "auto", network.device, dtype, threads=1)
    assert (network.query_encoder.engine is not None) == (dtype == torch.bfloat16)
    if network.query_encoder.engine is None:
        use_engine(network, "openvino", network.device, dtype, threads=1)
    for found, wanted in zip(network.encode_query(image), expected, strict=True):
        assert_near(found, wanted.float(), error)
    gated = build_model(dataclasses.replace(SPVOS, method="triple", structure="Q"))
    use_engine(gated, "auto", network.device, torch.bfloat16, threads=1)
    assert gated.query_encoder.engine is None
    with pytest.raises(InputError, match="gates in the query encoder"):
        use_engine(gated, "openvino", network.device, dtype, threads=1)


@needs_openvino
def test_several_threads_may_share_one_engine(network) -> None:
    _, engine = both(network, torch.float32)["query"]
    images = [torch.randn(1, 3, 64, 64) for _ in range(24)]
    alone = [engine(image).key for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: engine(image).key, images))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


@needs_openvino
def test_auto_takes_openvino_and_torch_does_not() -> None:
    for part in ("query_encoder", "memory_encoder", "decoder"):
        engines = {n: getattr(load_model(engine=n), part).engine for n in ("auto", "torch", "openvino")}
        assert engines["torch"] is None
        assert type(engines["auto"]) is type(engines["openvino"]) is not type(None)


@needs_openvino
@torch.inference_mode()
def test_gates_decide_in_torch() -> None:
    """An engine computes every pixel: it takes the place of modules only where no run decides about them."""
    network = load_model(method="triple", sparse="D", dtype="fp32", engine="openvino")
    query = network.encode_query(torch.randn(1, 3, 64, 64))
    readout, run = torch.randn(1, 1, 196, 4, 4), InferenceRun(REFERENCE)
    run.begin([1], sparse=False)
    network.decode(readout, query, run)
    run.begin([1], sparse=True)
    network.decode(readout, query, run)
    assert run.policies


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
    monkeypatch.setattr("spvos_cli.model.backends.engines.MODULE", "openvino_that_nobody_has")
    for name in ("openvino", "nodes", "lite_engine"):
        monkeypatch.setitem(sys.modules, f"spvos_cli.model.backends.{name}", None)
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
