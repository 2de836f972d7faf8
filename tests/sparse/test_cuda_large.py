"""The CUDA sources where numbers become large: many blocks, hundreds of tiles, offsets of more than 16 bits;
and the grids that the launcher asks for."""

from __future__ import annotations

import mmap

import numpy as np
import pytest
import torch

from spvos_cli.sparse.kernels.cuda import BLOCKS, COMPACT, CUDAKernel
from spvos_cli.sparse.kernels.cuda_launch import COMPACTION
from spvos_cli.sparse.policy import COMPUTE, REUSE, SKIP
from tests.sparse.definition import folded, random_conv, random_policy
from tests.sparse.host_gpu import HostGPU, Launch, needs_compiler
from tests.sparse.rounding import ARITHMETIC, LARGEST_ERROR, relative_error, rounded_problem

pytestmark = needs_compiler

MULTIPROCESSORS = 4


def errors_and_launches(
    shape: tuple[int, int, int, int],
    size: tuple[int, int],
    policy: torch.Tensor,
    name: str,
    batch: int = 1,
) -> tuple[float, list[Launch]]:
    """An update's error, in units of what is allowed, and its launches on a card of four multiprocessors."""
    arithmetic, launches = ARITHMETIC[name], list[Launch]()
    gpu = HostGPU(arithmetic.capability, MULTIPROCESSORS, on_launch=launches.append)
    conv = folded(random_conv(0, shape, norm=True, relu=False))
    problem = rounded_problem(conv, torch.randn(batch, shape[0], *size), None, arithmetic)
    error = relative_error(CUDAKernel(gpu.launcher, dense_above=1.0), problem, policy)
    return error / LARGEST_ERROR[arithmetic.dtype], launches


@pytest.mark.parametrize("name", ["fp16", "fp32"])
def test_hundreds_of_tiles(name: str) -> None:
    """303 tiles of 64 pixels, 76 blocks of 256 in the list, rows that begin past 2^16 units, the last block
    not full."""
    policy = torch.full((1, 121, 160), COMPUTE, dtype=torch.uint8)
    policy[0, :, :2] = SKIP
    policy[0, ::40, 7] = REUSE
    error, launches = errors_and_launches((8, 64, 1, 1), (121, 160), policy, name)
    assert error <= 1
    assert [launch.grid for launch in launches] == [76, BLOCKS * MULTIPROCESSORS]


@pytest.mark.parametrize("name", ["fp16", "fp32"])
def test_far_into_the_input(name: str) -> None:
    """Offsets of more than 2^16 elements, with few pixels to compute."""
    error, _ = errors_and_launches(
        (40, 9, 3, 1), (41, 43), random_policy(3, (2, 41, 43), 0.05), name, batch=2
    )
    assert error <= 1


@pytest.mark.parametrize("name", ["fp16", "fp32"])
def test_far_into_the_weights(name: str) -> None:
    """As many weights as a layer of the decoder has."""
    policy = torch.full((1, 2, 2), COMPUTE, dtype=torch.uint8)
    error, launches = errors_and_launches((160, 80, 3, 1), (2, 2), policy, name)
    assert error <= 1
    assert [launch.grid for launch in launches] == [1, 2]  # a tile's worth of pixels, two of outputs


@pytest.mark.parametrize("skipped", [0, 255, 256, 257, 511])
def test_the_last_pixel(skipped: int) -> None:
    """Alone in the list, alone skipped: at both ends of a block and behind one."""
    policy = torch.full((1, 1, skipped + 1), REUSE, dtype=torch.uint8)
    for choice in (SKIP, COMPUTE):
        policy[0, 0, skipped] = choice
        error, launches = errors_and_launches((3, 5, 1, 1), (1, skipped + 1), policy, "fp16")
        assert error <= 1
        assert launches[0].grid == skipped // 256 + 1


def test_rows_beyond_four_gigabytes() -> None:
    """In units of two bytes, as rows are that are no multiple of 16, their offsets pass 32 bits before the
    elements' do. Only the last row is ever touched."""
    pixels, row_bytes = 46_342, 4 * 23_171
    policy, skipped = np.full(pixels, REUSE, np.uint8), np.full(row_bytes // 4, 1.5, np.float32)
    policy[-1] = SKIP
    memory = mmap.mmap(-1, pixels * row_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)  # lazily
    output = np.frombuffer(memory, np.float32).reshape(pixels, -1)
    counter, listed = np.zeros(1, np.int32), np.zeros(1, np.int32)
    job = np.zeros(1, COMPACTION)
    for name, array in zip(COMPACTION.names, (policy, skipped, output, counter, listed), strict=False):
        job[name] = array.ctypes.data
    job["pixels"], job["row_bytes"] = pixels, row_bytes
    HostGPU().launcher.start(COMPACT, -(-pixels // 256), 256, job)
    assert (output[-1] == 1.5).all()
    assert not output[-2].any()
