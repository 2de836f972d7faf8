"""A frame does not make the host wait for a card but for the label map, and sends nothing but the image: told
from the operations that it asks for on a CPU."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from spvos_cli.inference.background import like_squares, merges_background
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.model.checkpoint import build_model
from spvos_cli.model.config import LITE
from spvos_cli.model.hosts import HOSTS
from spvos_cli.model.matching import grouped_top_k_readout
from spvos_cli.model.network import VOSNetwork
from spvos_cli.segment.tracker import Tracker
from spvos_cli.sparse.kernels.kernel import Kernel
from spvos_cli.sparse.kernels.reference import REFERENCE
from spvos_cli.video.frames import Frame
from tests.conftest import make_frame
from tests.hosts import small
from tests.sparse.definition import Lists
from tests.sparse.host_waits import host_waits


@pytest.fixture(params=list(HOSTS))
def segmenter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> VideoSegmenter:
    """With triple gates, and a backend that asks for nothing of its own."""
    torch.manual_seed(0)
    structure = "D" if request.param == "lite" else "QD"
    network = build_model(
        small(request.param, method="triple", structure=structure, max_memory=1, mem_every=3)
    )
    return on_a_card(network, REFERENCE, monkeypatch)


def on_a_card(network: VOSNetwork, kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> VideoSegmenter:
    """Everything but the device as on a GPU."""
    monkeypatch.setattr("spvos_cli.inference.segmenter.kernel_for", lambda device, dtype: kernel)
    monkeypatch.setattr("spvos_cli.inference.stream.merges_background", lambda *_: False)
    network = network.for_inference(torch.device("cpu"), torch.float32)
    segmenter = VideoSegmenter(network, size=64, region=False)
    segmenter._stream.read_top_k = grouped_top_k_readout
    return segmenter


def files(places: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(what, place.rpartition(":")[0]) for what, place in places]


def sparse_steps(segmenter: VideoSegmenter, frames: int) -> int:
    """How many frames were sparse; from the third on one wait, for the labels, and one upload, the image."""
    sparse = 0
    for t in range(frames):
        frame, ids = make_frame(t)
        with host_waits() as seen:
            segmenter.step(frame, ids if t == 0 else None)
        if t > 1:
            assert files(seen.waits) == [("cpu", "inference/measurements.py")], t
            assert files(seen.uploads) == [("aten::lift_fresh", "inference/views.py")], t
        sparse += any(run.policies for run in segmenter.runs)
    return sparse


def test_a_step_waits_for_the_labels_alone(segmenter: VideoSegmenter) -> None:
    """Dense and sparse frames, memory frames and others, once the objects are known."""
    assert sparse_steps(segmenter, 8) >= 4


@pytest.mark.parametrize("model", HOSTS)
def test_a_modules_gate_waits_for_nothing_more(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its policies, and the lists that are made of them, stay on the card."""
    network = build_model(small(model, method="triple", gate="module", max_memory=1, mem_every=3))
    assert sparse_steps(on_a_card(network, Lists(), monkeypatch), 6) >= 3


def test_the_background_is_merged_on_a_cpu_alone() -> None:
    """How many memory pixels are left has to be known on the host."""
    with host_waits() as seen:
        like_squares(torch.zeros(1, 64, 96))
    assert seen.waits
    lite = build_model(LITE)
    assert merges_background(lite, torch.device("cpu"))
    assert not merges_background(lite, torch.device("cuda"))


def test_what_segment_says_of_a_frame_comes_with_the_labels(segmenter: VideoSegmenter) -> None:
    """One transfer for labels, what all gates decided, and the objects' confidence."""
    tracker = Tracker(segmenter, lambda text: None)
    for t in range(5):
        image, ids = make_frame(t)
        with host_waits() as seen:
            tracker.step(Frame(t, image, str(t), t), ids if t == 0 else None)
        if t > 1:
            assert files(seen.waits) == [("cpu", "inference/measurements.py")], t


@pytest.mark.parametrize(
    "ask",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x[0, 0] > 0),
        lambda x: x.cpu(),
        lambda x: x.tolist(),
        lambda x: x[x > 0],
    ],
)
def test_waits_are_seen(ask: Callable[[torch.Tensor], object]) -> None:
    with host_waits() as seen:
        ask(torch.ones(3, 4))
    assert len(seen.waits) == 1


def test_what_was_fetched_is_read_at_no_cost() -> None:
    x = torch.ones(3, 4)
    with host_waits() as seen:
        fetched = x.cpu()
        assert (fetched + 1).sum().item() == 24
        assert fetched.numpy().shape == (3, 4)
    assert seen.waits == [("cpu", "outside of the package")]


def test_uploads_are_seen() -> None:
    x = torch.ones(3)
    with host_waits() as seen:
        x.new_tensor([1.0, 2.0, 3.0])
    assert len(seen.uploads) == 1
