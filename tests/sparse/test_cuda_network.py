"""The whole network on the CUDA code path, from VideoSegmenter down: only the device is the CPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.model.checkpoint import build_model
from spvos_cli.model.config import SPVOS
from spvos_cli.model.network import VOSNetwork
from spvos_cli.profiling.blobs import BlobPolicies
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.gate import GATES
from spvos_cli.sparse.kernels.cuda import CUDAKernel
from spvos_cli.sparse.kernels.kernel import Kernel
from spvos_cli.sparse.kernels.reference import REFERENCE
from spvos_cli.sparse.run import InferenceRun
from tests.conftest import make_frame
from tests.sparse.host_gpu import HostGPU, Launch, needs_compiler

pytestmark = needs_compiler

FRAMES = 3


def narrow_network(method: str, dtype: torch.dtype) -> VOSNetwork:
    """The paper's, all of it gated but the memory encoder, with gates that decide this and that."""
    torch.manual_seed(0)
    config = dataclasses.replace(SPVOS, value_channels=32, decoder_channels=(32, 16, 16), method=method)
    network = build_model(dataclasses.replace(config, structure="QD", gate_all=True, strategy="mixed"))
    for conv in network.modules():
        if isinstance(conv, SparseConv2d) and conv.gate is not None:
            torch.nn.init.normal_(conv.gate.weight, std=0.02)
            torch.nn.init.constant_(conv.gate.bias, 0.0)
    return network.for_inference(torch.device("cpu"), dtype)


def segmenter_with(kernel: Kernel, network: VOSNetwork, monkeypatch: pytest.MonkeyPatch) -> VideoSegmenter:
    monkeypatch.setattr("spvos_cli.inference.segmenter.kernel_for", lambda device, dtype: kernel)
    return VideoSegmenter(network)


def given(run: InferenceRun) -> Callable[[SparseConv2d, torch.Tensor], torch.Tensor]:
    """The policies of another run."""
    return lambda conv, policy: run.policies[conv]


@pytest.mark.parametrize(
    ("method", "dtype", "capability", "tolerance"),
    [*((method, torch.float32, 70, 1e-4) for method in GATES), ("triple", torch.bfloat16, 80, 2e-2)],
)
def test_segmenter(
    method: str, dtype: torch.dtype, capability: int, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, launches = narrow_network(method, dtype), list[Launch]()
    gpu = HostGPU(capability, multiprocessors=2, on_launch=launches.append)
    reference = segmenter_with(REFERENCE, network, monkeypatch)
    fast = segmenter_with(CUDAKernel(gpu.launcher, dense_above=1.0), network, monkeypatch)
    decided = agreed = 0
    for t in range(FRAMES):
        frame, ids = (np.ascontiguousarray(image[::3, ::3]) for image in make_frame(t))
        mask = ids if t == 0 else None
        labels = reference.step(frame, mask)
        chosen: list[tuple[torch.Tensor, torch.Tensor]] = []
        for run, other in zip(fast.runs, reference.runs, strict=True):
            run.inject = compared(given(other), chosen)
        found = fast.step(frame, mask)
        decided += sum(policy.numel() for policy, _ in chosen)
        agreed += sum(int((policy == other).sum()) for policy, other in chosen)
        assert (reference.prob - fast.prob).abs().max() <= tolerance
        sure = torch.topk(reference.prob, 2, dim=0).values.diff(dim=0)[0].abs() > 2 * tolerance
        assert np.array_equal(found[sure.numpy()], labels[sure.numpy()])
    assert decided > 0
    assert agreed >= 0.99 * decided
    assert {launch.kernel for launch in launches} == {"compact", "convolve"}


def test_policies_that_are_given_are_decided_in_one_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As frames are timed, in the launches of those that gates decide about."""
    network, launches = narrow_network("triple", torch.float32), list[Launch]()
    gpu = HostGPU(70, multiprocessors=2, on_launch=launches.append)
    reference, fast = (
        segmenter_with(kernel, network, monkeypatch)
        for kernel in (REFERENCE, CUDAKernel(gpu.launcher, dense_above=1.0))
    )
    for t in range(2):
        frame, ids = (np.ascontiguousarray(image[::3, ::3]) for image in make_frame(t))
        for segmenter in (reference, fast):
            for run in segmenter.runs:
                run.inject = BlobPolicies(network, {"Q": 0.3, "D": 0.2})
            segmenter.step(frame, ids if t == 0 else None)
    assert (reference.prob - fast.prob).abs().max() <= 1e-4
    kernels = [launch.kernel for launch in launches]
    assert kernels == ["decide", "convolve"] * (len(kernels) // 2) != []


def compared(
    inject: Callable[[SparseConv2d, torch.Tensor], torch.Tensor],
    chosen: list[tuple[torch.Tensor, torch.Tensor]],
) -> Callable[[SparseConv2d, torch.Tensor], torch.Tensor]:
    """Injects, and notes what the gates would have had beside what they get."""

    def settle(conv: SparseConv2d, policy: torch.Tensor) -> torch.Tensor:
        chosen.append((policy, inject(conv, policy)))
        return chosen[-1][1]

    return settle
