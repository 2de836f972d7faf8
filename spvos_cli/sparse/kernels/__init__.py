"""The backends of the sparse convolution."""

from __future__ import annotations

import torch

from spvos_cli.sparse.kernels.cpu import CPUKernel
from spvos_cli.sparse.kernels.kernel import Kernel
from spvos_cli.sparse.kernels.reference import REFERENCE


def kernel_for(device: torch.device) -> Kernel:
    """The fastest backend of a device."""
    return CPUKernel() if device.type == "cpu" else REFERENCE
