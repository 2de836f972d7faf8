"""On a real card: the kernels against the definition, on side streams, in a CUDA graph, without waiting; the
largest tensors; the whole network. Those with `small` in their names are for compute-sanitizer too.

SPVOS_REHEARSE=1 runs them where there is no card, on the CPU that stands for one, with smaller sizes.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from spvos_cli.data.demo_scene import scene
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.inference.module_run import ModuleRun
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.model.backends import graphs
from spvos_cli.model.encoders import Query
from spvos_cli.profiling.figures import profile
from spvos_cli.sparse.kernels import kernel_for
from spvos_cli.sparse.kernels.cuda import CUDAKernel, source_for
from spvos_cli.sparse.kernels.cuda_launch import Card, Program
from spvos_cli.sparse.policy import COMPUTE, REUSE
from tests.inference.test_module_run import CONFIGS, frames_of, network_of, step
from tests.model.fake_recorder import FakeRecorder
from tests.sparse.definition import folded, random_conv, random_policy
from tests.sparse.host_gpu import HostGPU
from tests.sparse.rounding import (
    LARGEST_ERROR,
    Arithmetic,
    Problem,
    channels_last,
    relative_cell_error,
    relative_error,
    rounded_problem,
)

REHEARSE = bool(os.environ.get("SPVOS_REHEARSE")) and not torch.cuda.is_available()
DEVICE = torch.device("cpu" if REHEARSE else "cuda")
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not (REHEARSE or torch.cuda.is_available()), reason="no NVIDIA GPU here"),
]

KINDS = [(1, 1), (1, 2), (3, 1), (3, 2)]
CHANNELS = [(5, 7), (40, 72)] if REHEARSE else [(5, 7), (40, 72), (256, 256)]
SMALL = [(1, 1), (9, 13)]
LARGE = [(30, 21)] if REHEARSE else [(120, 216)]
TYPES = {
    "fp32": (torch.float32, False),
    "tf32": (torch.float32, True),
    "fp16": (torch.float16, False),
    "bf16": (torch.bfloat16, False),
}


@pytest.fixture
def kernel() -> CUDAKernel:
    if REHEARSE:
        return CUDAKernel(HostGPU(90, multiprocessors=3).launcher, dense_above=1.0)
    found = kernel_for(DEVICE, torch.float16)
    assert isinstance(found, CUDAKernel)
    return CUDAKernel(found.launcher, dense_above=1.0)


@pytest.fixture
def started(kernel: CUDAKernel, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources of what was started."""
    sources: list[str] = []
    start = kernel.launcher.start

    def noted(program: Program, *arguments: Any) -> None:
        sources.append(program.source)
        start(program, *arguments)

    monkeypatch.setattr(kernel.launcher, "start", noted)
    return sources


@pytest.fixture
def arithmetic(
    request: pytest.FixtureRequest, kernel: CUDAKernel, monkeypatch: pytest.MonkeyPatch
) -> Arithmetic:
    """By name; with TF32 as the name says."""
    dtype, allowed = TYPES[request.param]
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allowed)
    capability = kernel.launcher.card.capability
    return Arithmetic(dtype, capability, dtype == torch.float32 and source_for(capability, dtype) == "mma.cu")


def problem_on_card(
    seed: int,
    shape: tuple[int, int, int, int],
    size: tuple[int, int],
    arithmetic: Arithmetic,
    *,
    relu: bool = False,
) -> Problem:
    conv = folded(random_conv(seed, shape, norm=True, relu=relu))
    conv, x, _, output = rounded_problem(conv, torch.randn(2, shape[0], *size), None, arithmetic)
    return Problem(conv.to(DEVICE), x.to(DEVICE), None, output.to(DEVICE))


def check_updates(kernel: CUDAKernel, arithmetic: Arithmetic, sizes: list[tuple[int, int]]) -> None:
    worst = 0.0
    for seed, (channels, kind, size, density) in enumerate(
        itertools.product(CHANNELS, KINDS, sizes, [0.0, 0.1, 1.0])
    ):
        problem = problem_on_card(seed, (*channels, *kind), size, arithmetic, relu=seed % 2 == 0)
        policy = random_policy(seed, problem.output[:, 0].shape, density).to(DEVICE)
        error = relative_error(kernel, problem, policy)
        assert error <= LARGEST_ERROR[arithmetic.dtype], (channels, kind, size, density)
        worst = max(worst, error)
    print(f"largest error {worst:.2e} of the range")


def test_the_card_is_what_pytorch_says(kernel: CUDAKernel) -> None:
    if REHEARSE:
        assert kernel.launcher.card == Card(90, 3)
        return
    properties = torch.cuda.get_device_properties(DEVICE)
    capability = 10 * properties.major + properties.minor
    assert kernel.launcher.card == Card(capability, properties.multi_processor_count)


@pytest.mark.parametrize("arithmetic", TYPES, indirect=True)
def test_update_small(kernel: CUDAKernel, arithmetic: Arithmetic) -> None:
    check_updates(kernel, arithmetic, SMALL)


@pytest.mark.parametrize("arithmetic", TYPES, indirect=True)
def test_update_large(kernel: CUDAKernel, arithmetic: Arithmetic) -> None:
    """Thousands of tiles on all multiprocessors."""
    check_updates(kernel, arithmetic, LARGE)


@pytest.mark.parametrize("arithmetic", TYPES, indirect=True)
def test_add_small(kernel: CUDAKernel, arithmetic: Arithmetic) -> None:
    for seed, (channels, kind) in enumerate(itertools.product(CHANNELS, KINDS)):
        problem = problem_on_card(seed, (*channels, *kind), (9, 13), arithmetic)
        policy = random_policy(seed, problem.output[:, 0].shape, 0.4).to(DEVICE)
        assert relative_error(kernel, problem, policy, add=True) <= LARGEST_ERROR[arithmetic.dtype]


@pytest.mark.parametrize("arithmetic", TYPES, indirect=True)
def test_update_of_cells_small(kernel: CUDAKernel, arithmetic: Arithmetic) -> None:
    """Under one policy of cells, as for layers of a module that has one gate."""
    for seed, (channels, size, side) in enumerate(itertools.product(CHANNELS, (1, 3), (1, 2, 4))):
        problem = problem_on_card(seed, (*channels, size, 1), (3 * side, 5 * side), arithmetic)
        policy, before = (random_policy(seed + n, (2, 3, 5), 0.4).to(DEVICE) for n in (0, 1000))
        assert relative_cell_error(kernel, problem, policy, before) <= LARGEST_ERROR[arithmetic.dtype]


@pytest.mark.parametrize("arithmetic", TYPES, indirect=True)
def test_tensor_cores_are_used(kernel: CUDAKernel, started: list[str], arithmetic: Arithmetic) -> None:
    """As the card's compute capability has them: not only where our own choice says so."""
    capability = kernel.launcher.card.capability
    has = {torch.float16: 75, torch.bfloat16: 80, torch.float32: 80}[arithmetic.dtype] <= capability
    problem = problem_on_card(0, (64, 64, 3, 1), (9, 13), arithmetic)
    relative_error(kernel, problem, random_policy(0, (2, 9, 13), 0.5).to(DEVICE))
    exact = arithmetic.dtype == torch.float32 and not arithmetic.tf32
    assert started == ["compact.cu", "simt.cu" if exact or not has else "mma.cu"]


@pytest.mark.parametrize("arithmetic", ["tf32"], indirect=True)
def test_tf32_rounds_to_the_nearest(kernel: CUDAKernel, arithmetic: Arithmetic) -> None:
    """All terms positive: truncated, their sum would be a thousandth too small on average."""
    if not arithmetic.tf32:
        pytest.skip("no TF32 on this card")
    torch.manual_seed(0)
    conv = folded(random_conv(0, (256, 64, 3, 1), norm=False, relu=False, bias=False)).to(DEVICE)
    conv.weight.abs_()
    x = channels_last(torch.rand(1, 256, 12, 13) + 0.5).to(DEVICE)
    expected = torch.nn.functional.conv2d(x.double(), conv.weight.double(), padding=1)
    output = channels_last(torch.zeros_like(expected, dtype=torch.float32))
    kernel.update(conv, x, None, torch.full((1, 12, 13), COMPUTE, dtype=torch.uint8, device=DEVICE), output)
    relative = (output.double() / expected - 1).mean().item()
    assert abs(relative) <= 5e-5


def half_layer(size: tuple[int, int] = (30, 54)) -> tuple[Problem, Callable[[float], Tensor]]:
    """In fp16, and its policies by density."""
    problem = problem_on_card(0, (64, 64, 3, 1), size, Arithmetic(torch.float16, 90), relu=True)
    return problem, lambda density: random_policy(int(100 * density), (2, *size), density).to(DEVICE)


def update(kernel: CUDAKernel, problem: Problem, policy: Tensor, output: Tensor) -> Tensor:
    kernel.update(problem.conv, problem.x, None, policy, output)
    return output


def test_a_side_stream_small(kernel: CUDAKernel) -> None:
    """Behind what is before it there, and before what is behind: both are slow."""
    problem, policies = half_layer()
    expected = update(kernel, problem, policies(0.4), problem.output.clone())
    side = nullcontext() if REHEARSE else torch.cuda.stream(torch.cuda.Stream())
    if not REHEARSE:
        torch.cuda.synchronize()
    slow = torch.randn(*((64, 64) if REHEARSE else (6144, 6144)), device=DEVICE)
    with side:
        x, output = torch.zeros_like(problem.x), torch.zeros_like(problem.output)
        for _ in range(4):
            slow @ slow
        x.copy_(problem.x)
        output.copy_(problem.output)
        update(kernel, problem._replace(x=x), policies(0.4), output)
        found = output.clone()
        for _ in range(4):
            slow @ slow
        output.zero_()
    if not REHEARSE:
        torch.cuda.synchronize()
    assert torch.equal(found, expected)


@pytest.mark.skipif(REHEARSE, reason="CUDA graphs need a card")
def test_a_graph_follows_its_inputs(kernel: CUDAKernel) -> None:
    """Captured once, and right for other policies: nothing of a launch depends on them."""
    problem, policies = half_layer()
    policy, output = policies(0.5), problem.output
    update(kernel, problem, policy, output)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        update(kernel, problem, policy, output)
    for density in (0.0, 0.1, 0.9):
        policy.copy_(policies(density))
        expected = update(kernel, problem, policy, output.clone())
        graph.replay()
        assert torch.equal(output, expected)


def test_a_modules_frames_in_two_graphs_small(kernel: CUDAKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dense frame and a sparse one, captured once, and right for other features and policies: what is kept
    stays where it is for both, and neither the lists nor their lengths are known to the host."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    network = network_of(CONFIGS[0], torch.float32, DEVICE)
    found = next(f for f in frames_of(network, 0, 40) if len(f.ids) == 2)._replace(leaving=[], sparse=True)
    tensors = {name: x.to(DEVICE) for name, x in found._asdict().items() if isinstance(x, Tensor)}
    frame = found._replace(query=Query(*(x.to(DEVICE) for x in found.query)), **tensors)
    defined, run = ModuleRun(network, by_definition=True), ModuleRun(network, kernel=kernel)
    for sparse in (False, True):
        for each in (defined, run):
            step(each, frame._replace(sparse=sparse))
    dense = frame._replace(sparse=False)
    replays = {True: captured(lambda: step(run, frame)), False: captured(lambda: step(run, dense))}
    for density, sparse in ((0.0, True), (0.2, True), (0.0, False), (0.7, True), (0.1, True), (0.0, False)):
        for x in (*frame.query, frame.readout):
            x.copy_(torch.randn_like(x))
        frame.masks.uniform_()
        frame.policy.copy_(random_policy(int(10 * density), frame.policy.shape, density))
        expected = step(defined, frame if sparse else dense)
        torch.testing.assert_close(replays[sparse](), expected, rtol=0, atol=1e-3)


def captured(function: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """As a CUDA graph; where there is no card, the function."""
    if REHEARSE:
        return function
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        result = function()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay


def test_results_repeat_small(kernel: CUDAKernel) -> None:
    """To the last bit, although the order of the list does not."""
    problem, policies = half_layer()
    first = update(kernel, problem, policies(0.3), problem.output.clone())
    for _ in range(20):
        assert torch.equal(update(kernel, problem, policies(0.3), problem.output.clone()), first)


def test_the_host_never_waits(kernel: CUDAKernel) -> None:
    problem, policies = half_layer()
    policy = policies(0.5)
    update(kernel, problem, policy, problem.output)
    if REHEARSE:
        return
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(5):
            update(kernel, problem, policy, problem.output)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_dense_layers_go_to_cudnn_and_come_back(kernel: CUDAKernel, started: list[str]) -> None:
    """As their counts arrive, two frames late at most where the card has ended what was before."""
    problem, policies = half_layer()
    kernel.dense_above = 0.5
    convolved = []
    for density in (0.1, 0.1, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1):
        started.clear()
        update(kernel, problem, policies(density), problem.output)
        convolved.append(started != ["compact.cu"])
        if not REHEARSE:
            torch.cuda.synchronize()
    assert convolved[:3] == [True] * 3
    assert not convolved[4]
    assert convolved[7]


@pytest.mark.skipif(REHEARSE, reason="needs 8 GB")
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_the_largest_tensors(kernel: CUDAKernel, dtype: torch.dtype) -> None:
    """2^31 - 8 elements in the input and in the output: the last pixels are computed, and skipped."""
    pixels = (2**31 - 8) // 8
    if torch.cuda.mem_get_info()[0] < 3 * 8 * pixels * dtype.itemsize:
        pytest.skip("the card has too little memory free")
    conv = folded(random_conv(0, (8, 8, 1, 1), norm=True, relu=False)).to(DEVICE, dtype)
    x, output = (
        torch.zeros(1, pixels, 1, 8, device=DEVICE, dtype=dtype).permute(0, 3, 1, 2) for _ in range(2)
    )
    x[:, :, -3:] = torch.randn(1, 8, 3, 1).to(x)
    policy = torch.full((1, pixels, 1), REUSE, dtype=torch.uint8, device=DEVICE)
    policy[:, -3:] = COMPUTE
    policy[:, -2] = 0
    assert kernel.limit(conv, 1) == 1.0
    kernel.update(conv, x, None, policy, output)
    expected = conv.dense(x[:, :, -3:].clone())
    expected[:, :, 1] = conv.skipped().to(dtype)[:, None]
    torch.testing.assert_close(output[:, :, -3:], expected, rtol=2e-3, atol=2e-3)
    assert not output[:, :, :-3].any()


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is no second card")
def test_a_second_card() -> None:
    found = kernel_for(torch.device("cuda", 1), torch.float16)
    assert isinstance(found, CUDAKernel)
    problem, policies = half_layer()
    moved = Problem(problem.conv.to("cuda:1"), problem.x.to("cuda:1"), None, problem.output.to("cuda:1"))
    for _ in range(3):
        error = relative_error(found, moved, policies(0.4).to("cuda:1"))
        assert error <= LARGEST_ERROR[torch.float16]


@pytest.mark.parametrize("dtype", ["fp32"] if REHEARSE else ["fp32", "fp16"])
@pytest.mark.parametrize("method", ["dense", "triple"])
def test_graphs_give_the_same_labels(method: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the demo clip, all of which is recorded that no gate decides about."""
    monkeypatch.setattr("spvos_cli.inference.stream.merges_background", lambda *_: False)
    clip = list(itertools.islice(scene(), 10 if REHEARSE else 60))
    found = {}
    for engine in ("torch", "graphs"):
        asked = EngineOptions(method=method, device=DEVICE.type, dtype=dtype, engine="torch")
        network = asked.network()
        if engine == "graphs":
            monkeypatch.setattr(graphs, "CALLS", 2)
            graphs.put_in(network, FakeRecorder() if REHEARSE else None)
        segmenter = VideoSegmenter(network, region=False)
        found[engine] = [segmenter.step(image, None if t else ids) for t, (image, ids) in enumerate(clip)]
    recorded = ["encode_query", "match", *(["decode_step"] if method == "dense" else [])]
    assert all(getattr(network, name).recordings for name in recorded)
    same = [(one == other).mean() for one, other in zip(*found.values(), strict=True)]
    assert min(same) >= (1 if REHEARSE else 0.999)


@pytest.mark.parametrize("gate", ["conv", "module"])
def test_the_whole_network_runs(gate: str) -> None:
    """As `spvos profile --speed --compare dense,triple --device cuda` does."""
    frame, dtype = ((96, 64), "fp32") if REHEARSE else ((854, 480), "fp16")
    model = "lite" if REHEARSE else "spvos"
    engine = EngineOptions(model=model, method="triple", gate=gate, device=DEVICE.type, dtype=dtype)
    result = profile(
        engine,
        params=False,
        flops=False,
        speed=True,
        compare=("dense", "triple"),
        density={"D": 0.1} if REHEARSE or gate == "module" else {"D": 0.1, "Q": 0.3},
        cycles=1 if REHEARSE else 2,
        frame=frame,
    )
    assert result["speed"]["triple"]["ms_median"] > 0
