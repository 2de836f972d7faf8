"""`profile --tune`: measures on this card from which density on cuDNN is faster than the sparse kernels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from spvos_cli.errors import InputError
from spvos_cli.profiling.break_even import GatedShape, gated_shapes, measure_limits
from spvos_cli.sparse.kernels import kernel_for
from spvos_cli.sparse.kernels.cuda import CUDAKernel
from spvos_cli.sparse.kernels.cuda_launch import Launcher
from spvos_cli.sparse.kernels.cuda_limits import save_limits
from spvos_cli.sparse.kernels.limits import Limits
from spvos_cli.sparse.kernels.precision import use_exact_float32

ROWS = (1, 5)  # objects
DTYPES = (torch.float16, torch.bfloat16, torch.float32)


def tune(device: torch.device) -> Path:
    """Measures all gated shapes of the networks, and keeps the limits for this card's next runs; returns the
    file.

    Raises:
        InputError: there is no card, or the sparse kernels do not run on it.
    """
    if device.type != "cuda":
        raise InputError("--tune", found="the device is a CPU", expected="an NVIDIA GPU", fix="--device cuda")
    kernel = kernel_for(device, torch.float16)
    if not isinstance(kernel, CUDAKernel):
        raise InputError(
            "--tune",
            found="no sparse CUDA kernels",
            expected="CuPy and NVRTC",
            fix="pip install 'spvos[cuda]'",
        )
    use_exact_float32()  # as --dtype fp32 does
    shapes = gated_shapes(module=True)
    return save_limits(torch.cuda.get_device_name(device), measure(kernel.launcher, device, shapes, DTYPES))


@torch.inference_mode()
def measure(
    launcher: Launcher, device: torch.device, shapes: Iterable[GatedShape], dtypes: Iterable[torch.dtype]
) -> Limits:
    """The limits of shapes, by type, shape and number of objects."""
    sparse, dense = (CUDAKernel(launcher, dense_above=limit) for limit in (1.0, -1.0))
    return measure_limits(shapes, dtypes, sparse, dense, device, ROWS)
