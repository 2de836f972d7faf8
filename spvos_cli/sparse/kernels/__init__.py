"""The backends of the sparse convolution."""

from __future__ import annotations

import logging
import time

import torch

from spvos_cli.measured import read_measured
from spvos_cli.sparse.kernels.cpu import CPUKernel
from spvos_cli.sparse.kernels.kernel import Kernel
from spvos_cli.sparse.kernels.reference import REFERENCE

PATIENCE = 1.0  # seconds of compiling after which something is said

log = logging.getLogger(__name__)


def kernel_for(device: torch.device, dtype: torch.dtype) -> Kernel:
    """The fastest backend of a device for convolutions in a type.

    On a GPU all that the type needs is compiled now, and not at the first sparse frame: CuPy keeps it in its
    cache on disk. Without CuPy or NVRTC it is PyTorch's dense kernels, and one line says why.
    """
    if device.type == "cpu":
        return CPUKernel()
    from spvos_cli.sparse.kernels.cuda import CUDAKernel, programs
    from spvos_cli.sparse.kernels.cuda_launch import cupy_launcher
    from spvos_cli.sparse.kernels.cuda_limits import MEASURED_LIMITS

    started = time.monotonic()
    try:
        index = torch.cuda.current_device() if device.index is None else device.index
        launcher = cupy_launcher(index)
        needed = programs(launcher.card.capability, dtype)
        for number, program in enumerate(needed):
            launcher.compile(*program)
            if number + 1 < len(needed) and time.monotonic() - started > PATIENCE:
                log.warning(
                    "compiling CUDA kernels for this GPU, once: %d of %d are done", number + 1, len(needed)
                )
    except Exception as error:  # CuPy's loaders raise what they like
        reason = str(error).split("\n", 1)[0] or type(error).__name__
        log.warning(
            "no sparse CUDA kernels, so gates save nothing: %s (they need CuPy: pip install 'spvos[cuda]',"
            " or 'spvos[cuda13]' for drivers from 580 on)",
            reason,
        )
        return REFERENCE
    return CUDAKernel(launcher, read_measured(MEASURED_LIMITS, torch.cuda.get_device_name(index)))
