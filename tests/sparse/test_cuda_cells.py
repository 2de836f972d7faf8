"""Layers under one policy of cells on the CUDA sources: one list, one launch a layer, the definition's
results."""

from __future__ import annotations

import itertools

import pytest
import torch

from spvos_cli.sparse.kernels.cuda import BLOCKS, CUDAKernel
from spvos_cli.sparse.kernels.reference import REFERENCE
from spvos_cli.sparse.policy import COMPUTE, REUSE, SKIP, of_pixels
from tests.sparse.definition import folded, random_conv, random_policy
from tests.sparse.host_gpu import HostGPU, Launch, needs_compiler
from tests.sparse.rounding import (
    ARITHMETIC,
    LARGEST_ERROR,
    Arithmetic,
    Problem,
    relative_cell_error,
    rounded_problem,
)

pytestmark = needs_compiler

SHAPES = [(5, 7, 3), (16, 72, 1)]  # channels in and out, size: element by element; in wide loads, two tiles
GRID = (2, 3)


def cell_kernel(arithmetic: Arithmetic, launches: list[Launch], schedule: str = "random") -> CUDAKernel:
    gpu = HostGPU(arithmetic.capability, multiprocessors=2, schedule=schedule, on_launch=launches.append)
    return CUDAKernel(gpu.launcher, dense_above=1.0)


def problem_of(seed: int, shape: tuple[int, int, int], size: tuple[int, int], name: str) -> Problem:
    """Of two objects, the last channels those of the frame where there are eight or more."""
    own = shape[0] - 8 if shape[0] > 8 else shape[0]
    conv = folded(random_conv(seed, (*shape, 1), norm=seed % 2 == 0, relu=seed % 3 == 0))
    x, shared = torch.randn(2, own, *size), torch.randn(1, 8, *size) if shape[0] > 8 else None
    return rounded_problem(conv, x, shared, ARITHMETIC[name])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (" on " in name)) for name in ARITHMETIC]
)
def test_a_layer_is_as_defined(name: str) -> None:
    """Densities, sides of cells and channels in every arithmetic; a list and a launch each."""
    launches: list[Launch] = []
    kernel = cell_kernel(ARITHMETIC[name], launches)
    cases = itertools.product(SHAPES, (1, 2, 4), (0.0, 0.3, 1.0))
    for seed, (shape, side, density) in enumerate(cases):
        problem = problem_of(seed, shape, (side * GRID[0], side * GRID[1]), name)
        policy, before = (random_policy(seed + n, (2, *GRID), density) for n in (0, 1000))
        error = relative_cell_error(kernel, problem, policy, before)
        assert error <= LARGEST_ERROR[ARITHMETIC[name].dtype], (shape, side, density)
        assert [launch.kernel for launch in launches[-2:]] == ["compact", "convolve"]
    assert len(launches) == 2 * (seed + 1)


@pytest.mark.parametrize("name", ["fp32", "fp16"])
def test_only_what_is_computed_or_newly_skipped_is_written(name: str) -> None:
    """Not what is reused, nor what was skipped before: every pixel of a cell, no other."""
    before = torch.tensor([[[COMPUTE, SKIP, REUSE, SKIP, SKIP]]], dtype=torch.uint8)
    policy = torch.tensor([[[SKIP, SKIP, SKIP, REUSE, COMPUTE]]], dtype=torch.uint8)
    for side in (1, 2, 4):
        conv, x, _, _ = problem_of(1, (8, 8, 3), (side, 5 * side), name)
        output = (
            torch.full((1, 8, side, 5 * side), torch.nan).to(x).contiguous(memory_format=torch.channels_last)
        )
        kernel = cell_kernel(ARITHMETIC[name], [])
        kernel.update_cells(conv, x[:1], None, kernel.list_cells(policy, before), output)
        written = output.isfinite().all(dim=1)
        expected = torch.tensor([[[True, False, True, False, True]]])
        assert torch.equal(written, of_pixels(expected, side))
        assert torch.equal(output.isnan().any(dim=1), ~written)


def test_a_list_serves_all_layers() -> None:
    """Of every stride and size, with more tiles than blocks; above their density they run densely, when that
    is known: with the next list."""
    launches: list[Launch] = []
    kernel = cell_kernel(ARITHMETIC["fp32"], launches)
    policy = random_policy(0, (2, 4, 6), 0.6)
    before = torch.full_like(policy, COMPUTE)
    for limit, kernels in ((1.0, ["compact", *["convolve"] * 4]), (0.3, ["compact"])):
        kernel.dense_above = limit
        launches.clear()
        cells = kernel.list_cells(policy, before)
        for seed, (shape, side) in enumerate(itertools.product([(8, 72, 3), (16, 8, 1)], (1, 4))):
            conv, x, shared, output = problem_of(seed, shape, (4 * side, 6 * side), "fp32")
            expected = output.clone()
            kernel.update_cells(conv, x, shared, cells, output)
            REFERENCE.update(conv, x, shared, of_pixels(policy, side), expected)
            torch.testing.assert_close(output, expected, atol=1e-4, rtol=1e-4)
        assert [launch.kernel for launch in launches] == kernels
        assert {launch.grid for launch in launches[2::2]} <= {BLOCKS * 2}  # as many tiles as pixels need


@pytest.mark.parametrize("case", ["three times as fine", "another type"])
def test_what_does_not_fit_is_left_to_pytorch(case: str) -> None:
    launches: list[Launch] = []
    kernel, side = cell_kernel(ARITHMETIC["fp32"], launches), 3 if case == "three times as fine" else 2
    conv, x, _, output = problem_of(0, (8, 8, 3), (2 * side, 3 * side), "fp32")
    if case == "another type":
        conv, x, output = conv.double(), x.double(), output.double()
    policy = random_policy(0, (2, 2, 3), 0.5)
    expected = output.clone()
    kernel.update_cells(conv, x, None, kernel.list_cells(policy, policy), output)
    REFERENCE.update(conv, x, None, of_pixels(policy, side), expected)
    assert torch.equal(output, expected)
    assert [launch.kernel for launch in launches] == ["compact"]
