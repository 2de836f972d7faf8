"""The backends of the sparse convolution."""

from __future__ import annotations

import logging

import torch

from spvos_cli.sparse.kernels.cpu import CPUKernel
from spvos_cli.sparse.kernels.kernel import Kernel
from spvos_cli.sparse.kernels.reference import REFERENCE

log = logging.getLogger(__name__)


def kernel_for(device: torch.device) -> Kernel:
    """The fastest backend of a device; on a GPU without CuPy or NVRTC PyTorch's dense kernels, and one line
    says why."""
    if device.type == "cpu":
        return CPUKernel()
    from spvos_cli.sparse.kernels.cuda import CUDAKernel
    from spvos_cli.sparse.kernels.cuda_launch import cupy_launcher
    from spvos_cli.sparse.kernels.cuda_limits import load_limits

    try:
        launcher = cupy_launcher(device.index or 0)
        launcher.compile("compact.cu", (), "compact")
    except Exception as error:  # CuPy's loaders raise what they like
        reason = str(error).split("\n", 1)[0] or type(error).__name__
        log.warning("no sparse CUDA kernels, so gates save nothing: %s (pip install 'spvos[cuda]')", reason)
        return REFERENCE
    return CUDAKernel(launcher, load_limits(torch.cuda.get_device_name(device)))
