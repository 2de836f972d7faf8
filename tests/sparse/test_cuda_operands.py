"""What the CUDA kernels are given: types, sizes, alignment, layout; and what is left to PyTorch instead."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from spvos_cli.sparse.conv import ConvUnit
from spvos_cli.sparse.kernels.cuda import CUDAKernel
from spvos_cli.sparse.kernels.cuda_layer import Operands, takes
from spvos_cli.sparse.kernels.reference import REFERENCE
from spvos_cli.sparse.policy import COMPUTE
from tests.sparse.definition import folded, random_conv, random_policy
from tests.sparse.host_gpu import HostGPU, Launch, needs_compiler
from tests.sparse.rounding import channels_last

LARGEST = 2**31 - 8  # elements of 16 bits, a multiple of a row


def shifted(x: Tensor, elements: int) -> Tensor:
    """The same values, somewhat later in memory."""
    room = torch.empty(x.numel() + elements, dtype=x.dtype)
    room[elements:] = x.permute(0, 2, 3, 1).flatten()
    shape = x.shape[0], *x.shape[2:], x.shape[1]
    return room[elements:].view(shape).permute(0, 3, 1, 2)


def launches_of(
    conv: ConvUnit, x: Tensor, shared: Tensor | None, policy: Tensor, output: Tensor
) -> list[str]:
    """Runs an update, compares it with the definition, and returns the kernels that it started."""
    launches: list[Launch] = []
    kernel = CUDAKernel(HostGPU(70, on_launch=launches.append).launcher, dense_above=1.0)
    expected = output.clone()
    REFERENCE.update(conv, x, shared, policy, expected)
    kernel.update(conv, x, shared, policy, output)
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)
    return [launch.kernel for launch in launches]


def huge(elements: int, dtype: torch.dtype = torch.float16) -> Tensor:
    """(1, 8, elements / 8, 1), on no device."""
    return torch.empty(1, elements // 8, 1, 8, dtype=dtype, device="meta").permute(0, 3, 1, 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("place", ["input", "output", "common"])
def test_the_largest_tensor(place: str, dtype: torch.dtype) -> None:
    """Indices are 32 bits wide, and signed."""
    conv = ConvUnit(8, 8, 1).to(dtype)
    for elements, fits in ((LARGEST, True), (LARGEST + 8, False), (2**32 - 8, False), (2**32 + 8, False)):
        sizes = {name: elements if name == place else 64 for name in ("input", "output", "common")}
        x, output, shared = (huge(sizes[name], dtype) for name in ("input", "output", "common"))
        assert takes(conv, x, shared, output) == fits, elements


@pytest.mark.parametrize("place", ["input", "common", "output", "weight"])
def test_types_are_not_mixed(place: str) -> None:
    types = dict.fromkeys(("input", "common", "output", "weight"), torch.float32)
    tensors = {name: torch.zeros(1, 4, 2, 2) for name in ("input", "common", "output")}
    arguments = (tensors["input"], tensors["common"], tensors["output"])
    assert takes(ConvUnit(8, 4, 1), *arguments)
    types[place] = torch.float16
    arguments = tuple(tensors[name].to(types[name]) for name in ("input", "common", "output"))
    assert not takes(ConvUnit(8, 4, 1).to(types["weight"]), *arguments)


def test_float64_is_left_to_pytorch() -> None:
    conv = folded(random_conv(0, (3, 4, 3, 1), norm=True, relu=True)).double()
    x, policy = torch.randn(1, 3, 5, 5, dtype=torch.float64), torch.full((1, 5, 5), COMPUTE)
    output = channels_last(torch.zeros(1, 4, 5, 5, dtype=torch.float64))
    assert launches_of(conv, x, None, policy, output) == []


def problem(channels: int = 8, common: int = 0) -> tuple[ConvUnit, Tensor, Tensor | None, Tensor, Tensor]:
    conv = folded(random_conv(0, (channels + common, 8, 3, 1), norm=True, relu=True))
    x, shared = (channels_last(torch.randn(n, c, 6, 7)) for n, c in ((2, channels), (1, common)))
    output = channels_last(torch.randn(2, 8, 6, 7))
    return (
        conv.to(memory_format=torch.channels_last),
        x,
        shared if common else None,
        random_policy(0, (2, 6, 7), 0.4),
        output,
    )


@needs_compiler
@pytest.mark.parametrize("place", ["input", "common", "weight", "output"])
def test_what_does_not_start_where_wide_loads_do(place: str) -> None:
    """Is read one by one; an output that is not is left to PyTorch."""
    conv, x, shared, policy, output = problem(common=4)
    assert Operands(x, shared, conv.weight).aligned()
    if place == "weight":
        conv.weight = torch.nn.Parameter(shifted(conv.weight, 1), requires_grad=False)
    x = shifted(x, 1) if place == "input" else x
    shared = shifted(shared, 1) if place == "common" else shared
    output = shifted(output, 1) if place == "output" else output
    assert Operands(x, shared, conv.weight).aligned() == (place == "output")
    started = launches_of(conv, x, shared, policy, output)
    assert started == ([] if place == "output" else ["compact", "convolve"])


@pytest.mark.parametrize(("own", "common", "aligned"), [(8, 4, True), (8, 6, False), (6, 4, False)])
def test_channels_in_whole_pieces(own: int, common: int, aligned: bool) -> None:
    """Of 16 bytes: four of float32; those of the input and the common ones, each for themselves."""
    conv, x, shared, _, _ = problem(own, common)
    assert Operands(x, shared, conv.weight).aligned() == aligned


@needs_compiler
@pytest.mark.parametrize("place", ["input", "common", "weight", "policy", "nothing"])
def test_any_layout(place: str) -> None:
    """What comes in another order in memory is put in order first."""
    conv, x, shared, policy, output = problem(common=4)
    if place == "input":
        x = x.contiguous()
    elif place == "common":
        shared = shared.contiguous()
    elif place == "weight":
        conv = conv.to(memory_format=torch.contiguous_format)
    elif place == "policy":
        policy = policy.transpose(1, 2).contiguous().transpose(1, 2)
    assert launches_of(conv, x, shared, policy, output) == ["compact", "convolve"]
