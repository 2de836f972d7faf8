"""The trunk's engine: one method, two backends."""

from __future__ import annotations

import importlib.util
from typing import Protocol

import torch
from torch import Tensor

from spvos_cli.model.efficientnet import EfficientNetLite

MODULE = "openvino"


class TrunkEngine(Protocol):
    """Runs the trunk; `EfficientNetLite` itself is one."""

    def __call__(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(1, 3, H, W), normalised, channels last -> f4, f8, f16, channels last and in the image's type."""


def openvino_is_there() -> bool:
    """Whether OpenVINO is installed; nothing is imported."""
    return importlib.util.find_spec(MODULE) is not None


def openvino_trunk(trunk: EfficientNetLite, dtype: torch.dtype, threads: int) -> TrunkEngine:
    """The trunk in OpenVINO, compiled.

    Args:
        dtype: float32, or bfloat16 for products in it.
        threads: of the CPU.

    Raises:
        ImportError: OpenVINO is not installed, or this system lacks something that it needs.
    """
    from spvos_cli.model.backends.openvino import OpenVINOTrunk

    return OpenVINOTrunk(trunk, dtype, threads)
