"""From which density on cuDNN's dense convolution is faster on a card, where `spvos profile --tune` did not
measure it."""

from __future__ import annotations

import torch

# After tools/roofline.py, which is a prediction.
ON_TENSOR_CORES = 0.3
ON_ORDINARY_CORES = 0.5  # where cuDNN uses them as well
AGAINST_TENSOR_CORES = 0.05  # where cuDNN alone uses them, as for fp16 on cards of compute capability 7.0

MEASURED_LIMITS = "cuda_limits"  # the kind of what is measured


def default_limit(dtype: torch.dtype, capability: int, *, tensor_cores: bool) -> float:
    """For shapes that were not measured.

    Args:
        capability: of the card, 86 for 8.6.
        tensor_cores: whether our kernel uses them.
    """
    if tensor_cores:
        return ON_TENSOR_CORES
    cudnn_does = dtype == torch.float16 and capability >= 70
    return AGAINST_TENSOR_CORES if cudnn_does else ON_ORDINARY_CORES
