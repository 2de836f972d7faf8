"""Whether float32 is float32 on a GPU, where tensor cores may take it as TF32, with ten bits of fraction."""

from __future__ import annotations

from typing import Any

import torch


def use_exact_float32() -> None:
    """For all of this process: PyTorch's convolutions and products, and our kernels.

    PyTorch has two ways to say so, and from 2.9 on an error where they disagree: both are set.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    if hasattr(torch.backends.cudnn, "conv"):
        cudnn: Any = torch.backends.cudnn
        cublas: Any = torch.backends.cuda
        for operation in (cudnn.conv, cudnn.rnn, cublas.matmul):
            operation.fp32_precision = "ieee"


def tf32_allowed() -> bool:
    """Whether PyTorch's convolutions may round float32 to TF32; our kernels follow them."""
    conv = getattr(torch.backends.cudnn, "conv", None)
    return torch.backends.cudnn.allow_tf32 if conv is None else conv.fp32_precision == "tf32"
