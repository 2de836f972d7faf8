"""The CUDA sources on the CPU: a stand-in for CuPy's RawModule that compiles them with g++ and the shim in
`cuda_host/`, and runs every CUDA thread. The launcher is the real one."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from spvos_cli.sparse.kernels.cuda_launch import Card, Launcher

SHIM = Path(__file__).with_name("cuda_host")
FLAGS = ("-std=c++17", "-O2", "-fno-strict-aliasing", "-Wno-unknown-pragmas", "-DCUDA_HOST_SHIM", f"-I{SHIM}")
SCHEDULES = {"round robin": 0, "by warp": 1, "random": 2}

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="no g++ here: the CUDA sources cannot be run on the CPU"
)


class Launch(NamedTuple):
    """One launch, as it was asked for."""

    kernel: str
    grid: int
    block: int
    parameters: np.ndarray


class HostGPU:
    """A card whose multiprocessors are this CPU.

    Args:
        schedule: the order in which the threads of a block run between barriers.
        on_launch: told of each launch before it runs.
    """

    def __init__(
        self,
        capability: int = 80,
        multiprocessors: int = 1,
        schedule: str = "round robin",
        on_launch: Callable[[Launch], None] = lambda launch: None,
    ) -> None:
        self.schedule, self.on_launch = schedule, on_launch
        card, device = Card(capability, multiprocessors), torch.device("cpu")
        self.launcher = Launcher(card, device, self.raw_module, nullcontext)

    def raw_module(self, code: str, options: tuple[str, ...]) -> _Module:
        return _Module(self, code, options)


class _Module:
    def __init__(self, gpu: HostGPU, code: str, options: tuple[str, ...]) -> None:
        self.gpu, self.code, self.options = gpu, code, options

    def get_function(self, name: str) -> _Function:
        return _Function(self.gpu, name, library(self.code, self.options, name))


class _Function:
    """Takes arguments as CuPy does: an array of the host is a struct that is passed by value."""

    def __init__(self, gpu: HostGPU, name: str, code: ctypes.CDLL) -> None:
        self.gpu, self.name, self.code = gpu, name, code

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[np.ndarray, ...]) -> None:
        (parameters,) = args
        if not isinstance(parameters, np.ndarray) or parameters.size != 1:
            raise TypeError(f"one struct was expected, not {parameters!r}")
        if parameters.itemsize != self.code.parameter_bytes():
            raise TypeError(
                f"{self.name} takes {self.code.parameter_bytes()} bytes, not {parameters.itemsize}"
            )
        self.gpu.on_launch(Launch(self.name, grid[0], block[0], parameters))
        pointers = (ctypes.c_void_p * 1)(parameters.ctypes.data)
        self.code.launch(max(1, grid[0]), max(1, block[0]), pointers, SCHEDULES[self.gpu.schedule], 1)


@functools.cache
def build_folder() -> Path:
    """For what is compiled, until the tests end."""
    return Path(tempfile.mkdtemp(prefix="spvos-cuda-"))


@functools.cache
def library(code: str, options: tuple[str, ...], kernel: str) -> ctypes.CDLL:
    """A source of `cuda/` for this CPU."""
    name = hashlib.sha256("\n".join([code, kernel, *options]).encode()).hexdigest()[:16]
    source, target = (build_folder() / f"{name}.{suffix}" for suffix in ("cu", "so"))
    source.write_text(code)
    defines = (f'-DSOURCE="{source}"', f"-DKERNEL={kernel}", "-shared", "-fPIC")
    compile_with(SHIM / "launch.cpp", target, (*options, *defines))
    return ctypes.CDLL(str(target))


def compile_with(source: Path, target: Path, options: tuple[str, ...]) -> None:
    """Runs g++; what it says is shown where it fails."""
    subprocess.run(["g++", *FLAGS, *options, str(source), "-o", str(target)], check=True)
