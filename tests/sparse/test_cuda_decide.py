"""A triple gate's decision in one launch: the same policies, bit by bit, as PyTorch makes of the same
logits."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from spvos_cli.sparse.gate import TripleGate
from spvos_cli.sparse.gate_base import Given, as_chosen
from spvos_cli.sparse.kernels.cuda import CUDAKernel
from spvos_cli.sparse.layer_state import LayerState
from spvos_cli.sparse.policy import COMPUTE, SKIP
from tests.sparse.definition import folded, random_conv, random_policy
from tests.sparse.host_gpu import HostGPU, Launch, needs_compiler
from tests.sparse.rounding import ARITHMETIC, channels_last

pytestmark = needs_compiler

TYPES = ("fp32", "fp16", "bf16")


class Layer:
    """A gated convolution of two objects in one type; `common` channels are their frame's.

    Attributes:
        launches: kernels that steps started.
    """

    def __init__(self, name: str, size: tuple[int, int], common: int = 0) -> None:
        torch.manual_seed(sum(size) + common)
        arithmetic, self.size, self.common = ARITHMETIC[name], size, common
        self.conv = folded(random_conv(1, (8 + common, 8, 3, 1), norm=True, relu=True))
        self.gate = TripleGate(self.conv).requires_grad_(False)
        torch.nn.init.normal_(self.gate.weight, std=0.1)
        self.gate.bias.copy_(torch.tensor([0.4, 0.3, 0.0]))
        for module in (self.conv, self.gate):
            module.to(arithmetic.dtype, memory_format=torch.channels_last)
        self.dtype, self.launches = arithmetic.dtype, list[str]()
        gpu = HostGPU(arithmetic.capability, schedule="random", on_launch=self._note)
        self.kernel = CUDAKernel(gpu.launcher, dense_above=1.0)

    def _note(self, launch: Launch) -> None:
        self.launches.append(launch.kernel)

    def features(self) -> tuple[Tensor, Tensor | None]:
        """Those of the objects, and the frame's."""
        x, shared = (channels_last(torch.randn(n, c, *self.size).to(self.dtype)) for n, c in ((2, 8), (1, 8)))
        return x, shared[:, : self.common] if self.common else None

    def dense(self) -> LayerState:
        return self.gate.dense_step(self.conv, *self.features())[1]

    def steps(self, features: tuple[Tensor, Tensor | None], one: LayerState, other: LayerState) -> None:
        """In one launch, and by PyTorch."""
        self.gate.sparse_step(self.conv, *features, one, self.kernel, as_chosen)
        self.gate.sparse_step(self.conv, *features, other, self.kernel, lambda policy: policy)


def assert_same(one: LayerState, other: LayerState) -> None:
    for name in ("policy", "logits", "output"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("common", [0, 8])
@pytest.mark.parametrize("name", TYPES)
def test_as_pytorch_decides(name: str, common: int) -> None:
    """Policies, the next frame's part of its logits and outputs, frame after frame; two launches each."""
    layer = Layer(name, (9, 31), common)
    one = layer.dense()
    other, seen = copy.deepcopy(one), set[int]()
    for _ in range(3):
        layer.launches.clear()
        layer.steps(layer.features(), one, other)
        assert layer.launches == ["decide", "convolve", "compact", "convolve"]
        assert_same(one, other)
        seen |= set(one.policy.unique().tolist())
    assert seen == {0, 1, 2}


def test_what_is_new_is_computed() -> None:
    layer = Layer("fp32", (5, 7))
    one = layer.dense().rows(torch.tensor([1, -1]))
    other = copy.deepcopy(one)
    layer.steps(layer.features(), one, other)
    assert_same(one, other)
    assert (one.policy[1] == COMPUTE).all()
    assert not (one.policy[0] == COMPUTE).all()


def test_given_policies_hold_whatever_the_logits_say() -> None:
    """But where nothing is known of a row; the next frame's logits are as ever."""
    layer = Layer("fp16", (5, 7))
    one = layer.dense().rows(torch.tensor([0, -1]))
    other = copy.deepcopy(one)
    given = Given(random_policy(0, (2, 5, 7), 0.3))
    features = layer.features()
    layer.gate.sparse_step(layer.conv, *features, one, layer.kernel, given)
    assert layer.launches == ["decide", "convolve"]
    layer.gate.sparse_step(layer.conv, *features, other, layer.kernel, lambda policy: given.policy)
    assert_same(one, other)
    assert torch.equal(one.policy[0], given.policy[0])


def test_ties_and_what_is_not_a_number() -> None:
    """The first of several that are largest; nothing is larger than what is no number."""
    layer = Layer("fp32", (3, 9))
    one = layer.dense()
    layer.gate.weight.zero_()
    layer.gate.bias.zero_()
    values = torch.tensor([0.0, 1.0, torch.nan])
    one.logits = (
        torch.cartesian_prod(values, values, values).view(3, 9, 3).permute(2, 0, 1).repeat(2, 1, 1, 1)
    )
    other = copy.deepcopy(one)
    layer.steps(layer.features(), one, other)
    assert_same(one, other)


def test_sums_are_in_pytorchs_order() -> None:
    """Both frames' parts, then the bias: in another order it would be lost here."""
    layer = Layer("fp32", (2, 3))
    state = layer.dense()
    state.logits = torch.tensor([0.0, 0.0, -1.0]).view(1, 3, 1, 1).repeat(2, 1, 2, 3)
    parts, bias = torch.zeros(2, 6, 2, 3), torch.tensor([0.0, 0.0, 1e-9])
    parts[:, COMPUTE] = 1
    state.policy.fill_(SKIP)
    assert layer.kernel.decide(layer.conv, *layer.features(), parts, bias, state)
    assert (state.policy == COMPUTE).all()


def test_all_stays_in_place_and_skipped_values_are_written_once() -> None:
    layer = Layer("fp32", (6, 8))
    state = layer.dense()
    places = None
    for _ in range(3):
        before, kept = state.policy.clone(), state.output
        kept.permute(0, 2, 3, 1)[before == SKIP] = torch.nan  # nobody may touch it any more
        layer.gate.sparse_step(layer.conv, *layer.features(), state, layer.kernel, as_chosen)
        again = (before == SKIP) & (state.policy == SKIP)
        assert kept.permute(0, 2, 3, 1)[again].isnan().all()
        assert not kept.permute(0, 2, 3, 1)[(state.policy == SKIP) & (before != SKIP)].isnan().any()
        found = [x.data_ptr() for x in (state.policy, state.logits, state.output)]
        assert places in (None, found)
        places = found


def test_another_type_is_left_to_pytorch() -> None:
    layer = Layer("fp32", (4, 4))
    layer.gate.to(torch.float64)
    layer.conv.to(torch.float64)
    layer.dtype = torch.float64
    one = layer.dense()
    other = copy.deepcopy(one)
    layer.steps(layer.features(), one, other)
    assert layer.launches == []
    assert_same(one, other)
