"""Whole networks with gates: fresh ones change nothing, and fast kernels give what the reference gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from spvos_cli.data.demo_scene import scene
from spvos_cli.inference.stream import Stream
from spvos_cli.model.checkpoint import build_model, load_checkpoint
from spvos_cli.model.hosts import HOSTS
from spvos_cli.model.network import VOSNetwork
from spvos_cli.resources import shipped_weights
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.gate import GATES
from spvos_cli.sparse.kernels.cpu import CPUKernel
from spvos_cli.sparse.kernels.kernel import Kernel
from spvos_cli.sparse.kernels.reference import REFERENCE
from tests.hosts import small

CPU = torch.device("cpu")


def demo_clip(length: int, height: int, width: int) -> tuple[list[Tensor], dict[int, Tensor]]:
    """The first frames of the demo, cropped, and the masks of its two objects in the first."""
    frames = [(image, labels) for _, (image, labels) in zip(range(length), scene(), strict=False)]
    images = [torch.from_numpy(image).permute(2, 0, 1)[:, -height:, -width:] / 255 for image, _ in frames]
    first = frames[0][1][-height:, -width:]
    return images, {i: torch.from_numpy((first == i).astype(np.float32)) for i in (1, 2)}


def stream_of(network: VOSNetwork, kernel: Kernel = REFERENCE) -> Stream:
    return Stream(network, mem_every=4, top_k=20, max_memory=3, kernel=kernel)


def probabilities(stream: Stream, clip: tuple[list[Tensor], dict[int, Tensor]]) -> list[Tensor]:
    images, masks = clip
    return [stream.step(image, masks if t == 0 else None).clone() for t, image in enumerate(images)]


def test_fresh_triple_gates_change_nothing() -> None:
    """A dense checkpoint starts a sparse model: everything is computed, by the sparse kernel."""
    path = shipped_weights("lite")
    dense = load_checkpoint(path, {"method": "dense"}).for_inference(CPU, torch.float32)
    overrides = {"method": "triple", "structure": "D", "strategy": "mixed"}
    triple = load_checkpoint(path, overrides, fresh_gates=True).for_inference(CPU, torch.float32)
    clip = demo_clip(10, 240, 320)
    expected = probabilities(stream_of(dense), clip)
    stream = stream_of(triple, CPUKernel(dense_above=1.0))
    found = probabilities(stream, clip)
    assert stream.runs["D"].policies
    for one, other in zip(expected, found, strict=True):
        assert (one - other).abs().max() < 1e-4
        largest = one.topk(2, dim=0).values
        sure = largest[0] - largest[1] > 1e-3
        assert torch.equal(one.argmax(dim=0)[sure], other.argmax(dim=0)[sure])


@pytest.mark.parametrize(
    ("method", "strategy"),
    [*((method, "fully") for method in GATES), ("triple", "mixed"), ("triple", "semi-mixed")],
)
@pytest.mark.parametrize("host", HOSTS)
def test_fast_kernels_equal_the_reference(host: str, method: str, strategy: str) -> None:
    """With gates everywhere; the reference's policies are injected."""
    torch.manual_seed(0)
    gates = {"method": method, "structure": "QDM", "gate_all": True, "strategy": strategy}
    network = build_model(small(host, **gates))
    for conv in network.modules():
        if isinstance(conv, SparseConv2d) and conv.gate is not None:
            torch.nn.init.normal_(conv.gate.weight, std=0.02)
            torch.nn.init.constant_(conv.gate.bias, 0.0)
    network = network.for_inference(CPU, torch.float32)
    clip = demo_clip(7, 64, 96)
    reference, fast = stream_of(network), stream_of(network, CPUKernel(dense_above=1.0))
    sparse_layers = 0
    for t, image in enumerate(clip[0]):
        given = clip[1] if t == 0 else None
        expected = reference.step(image, given)
        for part, run in fast.runs.items():
            run.inject = lambda conv, policy, part=part: reference.runs[part].policies[conv]
        found = fast.step(image, given)
        for part, run in fast.runs.items():
            sparse_layers += len(run.policies)
            assert run.policies.keys() == reference.runs[part].policies.keys()
        assert (expected - found).abs().max() < 1e-4
    assert sparse_layers > 0
