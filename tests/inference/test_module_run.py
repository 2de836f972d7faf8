"""One gate for a whole module: gathered cells give what the definition gives, and the definition what gates
of convolutions give under the same policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from spvos_cli.inference.module_run import EncodedFrame, ModuleRun, Place
from spvos_cli.inference.previous_frame import PreviousFrame
from spvos_cli.inference.region import CELL, Window
from spvos_cli.model.checkpoint import build_model
from spvos_cli.model.config import LITE, SPVOS, ModelConfig
from spvos_cli.model.cpu import winograd
from spvos_cli.model.encoders import Query
from spvos_cli.model.lite import LABELS
from spvos_cli.model.network import VOSNetwork
from spvos_cli.model.xmem.network import XMEM
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.gate import TripleGate
from spvos_cli.sparse.kernels.cuda import CUDAKernel
from spvos_cli.sparse.kernels.reference import REFERENCE
from spvos_cli.sparse.module_state import CERTAIN, shifted
from spvos_cli.sparse.plan import gated_convolutions
from spvos_cli.sparse.policy import COMPUTE, REUSE, SKIP, of_pixels
from spvos_cli.sparse.run import InferenceRun
from tests.sparse.definition import Lists
from tests.sparse.host_gpu import HostGPU, Launch, needs_compiler
from tests.sparse.host_waits import host_waits

SMALL = {"value_channels": 16, "decoder_channels": (8, 12, 8), "key_channels": 4}
OWN = {"xmem": {"hidden_channels": 8, "decoder_channels": (32, 12, 8)}}  # attention takes 16 channels or more
CONFIGS = [
    dataclasses.replace(config, **SMALL | OWN.get(config.architecture, {}), method="triple", gate="module")
    for config in (LITE, SPVOS, XMEM)
]
CPU, FRAME = torch.device("cpu"), (96, 128)
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}


class Frame(NamedTuple):
    """Attributes: place; ids of its objects; query; readout (K, L, C) of all cells; masks (K, H, W) of the
    frame before; policy (K, h, w) that the gate is made to choose; sparse; leaving: ids that go before it;
    hidden: states before it, where the network has some."""

    place: Place
    ids: list[int]
    query: Query
    readout: Tensor
    masks: Tensor
    policy: Tensor
    sparse: bool
    leaving: list[int]
    hidden: Tensor | None


def network_of(
    config: ModelConfig, dtype: torch.dtype = torch.float32, device: torch.device = CPU
) -> VOSNetwork:
    """With weights that matter everywhere: residual branches do not start at zero."""
    torch.manual_seed(0)
    network = build_model(config)
    for conv in gated_convolutions(network, "D", gate_all=True).values():
        torch.nn.init.normal_(conv.weight, std=(2 / conv.weight[0].numel()) ** 0.5)
        torch.nn.init.normal_(conv.bias, std=0.3)
    return network.for_inference(device, dtype)


def frames_of(network: VOSNetwork, seed: int, length: int = 14) -> Iterator[Frame]:
    """What may happen: objects join, leave, are given anew, are hidden and come back; memory frames are
    dense; windows move and change their size."""
    random, config = torch.Generator().manual_seed(seed), network.config
    ids, window = [1], Window.whole(*FRAME)

    def draw(*shape: int) -> Tensor:
        x = torch.randn(shape, generator=random)
        return x.to(network.dtype, memory_format=torch.channels_last) if x.ndim == 4 else x.to(network.dtype)

    def chance(p: float) -> bool:
        return bool(torch.rand((), generator=random) < p)

    def whole(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=random))

    for t in range(length):
        leaving = [i for i in ids if chance(0.15)] if len(ids) > 1 else []
        ids = [i for i in ids if i not in leaving] or [10 + t]
        if chance(0.25) and len(ids) < 3:
            ids = [*ids, max(*ids, t) + 1]
        if chance(0.4):
            height, width = CELL * whole(3, 6), CELL * whole(3, 8)
            top, left = CELL * whole(0, 6 - height // CELL), CELL * whole(0, 8 - width // CELL)
            window = Window(top, left, height, width)
        h, w = window.height // CELL, window.width // CELL
        lite = config.architecture == "lite"
        f8, f4 = network.query_encoder.trunk.channels[1::-1] if lite else (512, 256)
        query = Query(
            draw(1, config.key_channels, h, w),
            draw(1, 1024 if config.architecture == "xmem" else config.value_channels, h, w),
            draw(1, 8, h, w),
            draw(1, f8, 2 * h, 2 * w),
            draw(1, f4, 4 * h, 4 * w),
        )
        channels = 2 * (config.value_channels + LABELS) if lite else config.value_channels
        masks = torch.rand(len(ids), window.height, window.width, generator=random)
        masks[[chance(0.1) for _ in ids]] = 0.1
        cut = torch.rand(2, generator=random).sort().values
        policy = torch.bucketize(torch.rand(len(ids), h, w, generator=random), cut).byte()
        readout = draw(len(ids), h * w, channels)
        yield Frame(
            Place(window, FRAME),
            list(ids),
            query,
            readout,
            masks,
            policy,
            t % 5 > 0 and not chance(0.1),
            leaving,
            torch.randn(len(ids), config.hidden_channels, h, w, generator=random)
            if config.hidden_channels
            else None,
        )


def step(run: ModuleRun, frame: Frame, *, memory_frame: bool = False) -> tuple[Tensor, Tensor]:
    """Logits of one frame, and hidden states after it, of no channels where there are none."""
    run.override = lambda chosen: frame.policy
    if frame.leaving:
        run.remove(frame.leaving)
    run.begin(frame.ids, sparse=frame.sparse)
    before = PreviousFrame(
        frame.masks[:0], frame.query, frame.masks, False, False, (frame.place.window,), frame.place.size
    )

    def match(cells: Tensor | None) -> Tensor:
        return frame.readout if cells is None else frame.readout[:, cells]

    with torch.inference_mode():
        given = EncodedFrame(frame.query, frame.place, before, match, frame.hidden, memory_frame)
        logits, hidden = run.decode(given)
        return logits.clone(), torch.empty(len(logits), 0) if hidden is None else hidden


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.architecture)
def test_cells_are_as_defined(config: ModelConfig, dtype: torch.dtype) -> None:
    """Logits, readout and all that is kept, on every frame of sequences in which everything happens."""
    network, decided = network_of(config, dtype), 0
    for seed in range(4):
        decided += compare_with_definition(network, ModuleRun(network), frames_of(network, seed))
    assert decided > 20


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.architecture)
def test_cells_by_winograds_algorithm(config: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which wider networks take in float32."""
    monkeypatch.setattr(winograd, "TILE_WEIGHTS", 1)
    network = network_of(config)
    compare_with_definition(network, ModuleRun(network), frames_of(network, 5))
    taken = [
        conv for conv in network.decoder.modules() if isinstance(conv, SparseConv2d) and conv._tile_weights
    ]
    assert len(taken) >= 5


def test_lists_are_as_defined() -> None:
    """The same where what was skipped before is never written again."""
    network = network_of(CONFIGS[0])
    for seed in range(6):
        compare_with_definition(network, ModuleRun(network, kernel=Lists()), frames_of(network, seed))


@needs_compiler
@pytest.mark.parametrize(
    ("dtype", "capability"),
    [(torch.float32, 70), pytest.param(torch.bfloat16, 80, marks=pytest.mark.slow)],
    ids=["fp32", "bf16"],
)
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.architecture)
def test_cuda_is_as_defined(config: ModelConfig, dtype: torch.dtype, capability: int) -> None:
    """The same of the CUDA sources."""
    network, launches = network_of(config, dtype), list[Launch]()
    kernel = CUDAKernel(HostGPU(capability, 2, on_launch=launches.append).launcher, dense_above=1.0)
    frames = list(frames_of(network, 2, 7))
    decided = compare_with_definition(network, ModuleRun(network, kernel=kernel), frames)
    assert decided > 2
    lists = sum(1 if len(frame.ids) == 1 else 2 for frame in frames if frame.sparse)
    assert [launch.kernel for launch in launches].count("compact") == lists


def compare_with_definition(network: VOSNetwork, run: ModuleRun, frames: Iterable[Frame]) -> int:
    """How often the gate decided."""
    defined, decided = ModuleRun(network, by_definition=True), 0
    tolerance = TOLERANCE[network.dtype]
    for frame in frames:
        (expected, after), (found, own_after) = step(defined, frame), step(run, frame)
        torch.testing.assert_close(own_after, after, rtol=0, atol=10 * tolerance)
        scale = max(1.0, expected[expected > CERTAIN].abs().max().item()) if (expected > CERTAIN).any() else 1
        torch.testing.assert_close(found, expected, rtol=0, atol=scale * tolerance)
        one, other = defined.state, run.state
        assert torch.equal(one.policy, other.policy)
        assert torch.equal(one.age, other.age)
        kept = [(one.readout, other.readout, other.blank)]
        kept += [
            (x, other.outputs[c], other.frame_blank if c.per_frame else other.blank)
            for c, x in one.outputs.items()
        ]
        for a, b, blank in kept:
            there = ~of_pixels(blank, a.shape[2] // blank.shape[1]).unsqueeze(1)
            difference = ((a.float() - b.float()) * there).abs().max()
            assert difference <= tolerance * max(1.0, a.abs().max().item())
        all_computed = run.policy is None or (run.on_cells and bool((run.policy == COMPUTE).all()))
        decided += not all_computed
    return decided


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.architecture)
def test_definition_is_that_of_gates_with_one_policy(config: ModelConfig) -> None:
    """Each convolution of the decoder with a triple gate of its own, all made to choose the same."""
    network = network_of(config)
    by_convolution = network_of(dataclasses.replace(config, method="dense", gate="conv"))
    by_convolution.decoder.load_state_dict(network.decoder.state_dict())
    for module in by_convolution.decoder.modules():
        if hasattr(module, "role"):
            module.gate = TripleGate(module).to(memory_format=torch.channels_last)
    frames = [f for f in frames_of(network, 3) if len(f.ids) == 2][:1]
    (first,) = frames
    torch.manual_seed(1)
    run, conv_run = ModuleRun(network, by_definition=True), InferenceRun(REFERENCE)
    kept = logits = None
    for t in range(4):
        policy = torch.randint(0, 3, first.policy.shape, dtype=torch.uint8) if t else first.policy
        query = Query(*(x + 0.3 * torch.randn_like(x) for x in first.query))
        readout = first.readout + 0.3 * torch.randn_like(first.readout)
        masks = torch.rand_like(first.masks)
        frame = first._replace(
            query=query, readout=readout, masks=masks, policy=policy, sparse=t > 0, leaving=[]
        )
        found, after = step(run, frame)
        grid = frame.place.grid
        new = readout.transpose(1, 2).unflatten(2, grid)
        if t:
            kept = torch.where(policy[:, None] == COMPUTE, new, torch.where(policy[:, None] == SKIP, 0, kept))
        else:
            kept = new
        conv_run.begin(frame.ids, sparse=t > 0)
        conv_run.inject = lambda conv, own, policy=policy: of_pixels(
            policy.amax(dim=0, keepdim=True) if conv.per_frame else policy, own.shape[1] // policy.shape[1]
        )
        with torch.inference_mode():
            decoded, updated = by_convolution.decode_step(kept.unsqueeze(0), query, frame.hidden, conv_run)
            decoded = decoded[0]
        whole = of_pixels(policy, CELL)
        if t:
            logits = torch.where(whole == REUSE, logits, decoded).masked_fill(whole == SKIP, CERTAIN)
        else:
            logits = decoded
        torch.testing.assert_close(found, logits, rtol=0, atol=1e-4)
        if updated is not None:
            own = policy[:, None] if t else torch.full_like(policy[:, None], COMPUTE)
            updated = torch.where(own == REUSE, frame.hidden, updated) * (own != SKIP)
            torch.testing.assert_close(after, updated, rtol=0, atol=1e-4)


@pytest.mark.parametrize("by_definition", [True, False])
def test_the_hidden_states_of_memory_frames_are_left_alone(by_definition: bool) -> None:
    """The deep update makes them, of those before."""
    network = network_of(CONFIGS[2])
    frames = frames_of(network, 3)
    frame = next(f for f in frames if len(f.ids) == 2)._replace(leaving=[])
    run = ModuleRun(network, by_definition=by_definition)
    for sparse in (False, True):
        own = frame._replace(sparse=sparse)
        _, kept = step(run, own, memory_frame=True)
        assert torch.equal(kept, frame.hidden)
        _, changed = step(run, own)
        assert not torch.equal(changed, frame.hidden)


def test_what_nothing_is_known_of_is_computed() -> None:
    network = network_of(CONFIGS[0])
    run, frames = ModuleRun(network), list(frames_of(network, 0, 40))
    frame = next(f for f in frames if len(f.ids) == 2 and f.place.window.height < FRAME[0])
    frame = frame._replace(
        policy=torch.full_like(frame.policy, SKIP), leaving=[], masks=frame.masks.clamp(min=0.9)
    )
    step(run, frame._replace(sparse=False))
    step(run, frame._replace(sparse=True))
    assert (run.policy == SKIP).all()
    moved = frame.place.window._replace(top=0 if frame.place.window.top else CELL)
    run.begin([*frame.ids, 77], sparse=True)
    assert run.state.known.flatten(1).all(dim=1).tolist() == [True, True, False]
    run._move(Place(moved, FRAME))
    inside = run.state.known[0].float().mean()
    assert 0 < inside < 1
    assert not run.state.known[2].any()


def memory_of(run: ModuleRun) -> list[int]:
    """Where all lies that is kept."""
    state = run.state
    tensors = [getattr(state, f.name) for f in dataclasses.fields(state) if f.name != "outputs"]
    return [x.data_ptr() for x in [*tensors, *state.outputs.values()]]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.architecture)
def test_what_is_kept_stays_in_place_on_lists(config: ModelConfig) -> None:
    """On dense and sparse frames, for a CUDA graph to find it; until an object comes. Nothing is waited
    for."""
    network = network_of(config)
    run, frames = ModuleRun(network, kernel=Lists()), list(frames_of(network, 0, 40))
    frame = next(f for f in frames if len(f.ids) == 2)._replace(leaving=[])
    step(run, frame._replace(sparse=False))
    places = memory_of(run)
    for sparse in (True, False, True, True):
        other = frame._replace(sparse=sparse, readout=frame.readout + 1)
        with host_waits() as seen:
            logits, _ = step(run, other)
        assert seen.waits == seen.uploads == []
        assert (run.policy is not None) == sparse
        assert memory_of(run) == places
        assert torch.equal(run.state.logits, logits)
    run.remove(frame.ids[:1])
    assert memory_of(run) != places


def decisions(bias: list[float], frame: Frame, masks: Tensor, network: VOSNetwork) -> Tensor:
    """Policies (K, h, w) of a gate that would always choose the same, after a frame with these masks."""
    run = ModuleRun(network)
    network.gate.last.bias.copy_(torch.tensor(bias))
    step(run, frame._replace(leaving=[], sparse=False, masks=masks))
    run.override = None
    run.begin(frame.ids, sparse=True)
    before = PreviousFrame(
        masks[:0], frame.query, masks, False, False, (frame.place.window,), frame.place.size
    )
    with torch.inference_mode():
        run.decode(EncodedFrame(frame.query, frame.place, before, lambda c: frame.readout[:, c]))
    return run.policy


def test_hidden_objects_are_looked_for_everywhere() -> None:
    network = network_of(CONFIGS[0])
    frame = next(f for f in frames_of(network, 0, 40) if len(f.ids) == 2)
    masks = torch.stack([torch.full_like(frame.masks[0], p) for p in (0.9, 0.4)])
    policy = decisions([5.0, 0.0, 0.0], frame, masks, network)
    assert (policy[0] == SKIP).all()
    assert (policy[1] == COMPUTE).all()


def test_nothing_of_a_small_object_is_reused() -> None:
    network = network_of(CONFIGS[0])
    frames = frames_of(network, 0, 40)
    frame = next(f for f in frames if len(f.ids) == 2 and f.place.window.height == FRAME[0])
    masks = torch.zeros_like(frame.masks)
    masks[0, :, :], masks[1, :8, :8] = 1, 1
    policy = decisions([0.0, 5.0, 0.0], frame, masks, network)
    assert (policy[0] == REUSE).all()
    assert (policy[1] == COMPUTE).all()


def test_shifted_windows() -> None:
    x = torch.arange(12.0).view(1, 3, 4)
    assert torch.equal(shifted(x, 1, -1, (2, 3), 1), torch.tensor([[[0.0, 4, 5], [0, 8, 9]]]))
    assert torch.equal(shifted(x, 0, 0, (3, 4), 1), x)
    assert not shifted(x, 5, 0, (2, 2), 1).any()
