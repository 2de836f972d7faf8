"""What this machine offers: threads, device, and the arithmetic that it runs fastest."""

from __future__ import annotations

import ctypes
import platform
import sys
from pathlib import Path

import torch

from spvos_cli.errors import InputError
from spvos_cli.processors import default_threads
from spvos_cli.sparse.kernels.precision import use_exact_float32

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # from malloc.h


def choose_device(name: str) -> torch.device:
    """`auto`, `cpu` or `cuda`.

    Raises:
        InputError: CUDA was asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "--device cuda",
            found="PyTorch finds no CUDA device",
            expected="an NVIDIA GPU and a CUDA build",
            fix="--device cpu",
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto`, `fp32`, `bf16` or `fp16`; auto is bf16 where the processor multiplies it natively, fp16 on a
    GPU.

    Raises:
        InputError: fp16 on a CPU, which is slower than fp32 there.
    """
    if name == "fp16" and device.type == "cpu":
        raise InputError(
            "--dtype fp16", found="the device is a CPU", expected="fp32 or bf16 there", fix="--dtype auto"
        )
    if name != "auto":
        return DTYPES[name]
    if device.type == "cuda":
        return torch.float16
    return torch.bfloat16 if _has_native_bf16() else torch.float32


def prepare_arithmetic(device: torch.device, dtype: torch.dtype) -> None:
    """Makes float32 on a GPU what it is on a CPU, for all of this process: PyTorch would let convolutions
    round to TF32. Other types stay as they are."""
    if device.type == "cuda" and dtype == torch.float32:
        use_exact_float32()


def _has_native_bf16() -> bool:
    """Whether the processor has AMX or AVX512-BF16."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split("flags", 2)[1].split("\n", 1)[0].split()
    except (OSError, IndexError):
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def use_threads(count: int | None) -> None:
    """Sets the number of CPU threads, and has freed memory kept for the next frame (GNU libc).

    By default large buffers go back to the system with every frame, and come again as pages to be faulted
    in one by one: a fifth of the time of a frame. It changes the whole process: commands call it, no library
    function does.
    """
    torch.set_num_threads(count or default_threads())
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None and hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def cpu_name() -> str:
    """The processor's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ", 1)[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
