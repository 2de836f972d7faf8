"""What an engine of the lite network is beside `QueryEngine`: one method for each module, which PyTorch's
modules define."""

from __future__ import annotations

import importlib.util
from typing import Protocol

from torch import Tensor

from spvos_cli.model.encoders import Query

MODULE = "openvino"


class TrunkEngine(Protocol):
    """Takes a trunk's place."""

    def __call__(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W), normalised -> f4, f8, f16"""


class MemoryEngine(Protocol):
    """Takes a memory encoder's place."""

    def __call__(self, f16: Tensor, masks: Tensor) -> Tensor:
        """f16: (1, C, h, w), masks: (1, K, H, W) -> (1, K, Cv, h, w)"""


class DecoderEngine(Protocol):
    """Takes a decoder's place."""

    def __call__(self, readout: Tensor, query: Query) -> Tensor:
        """readout: (1, K, C, h, w) -> logits (1, K, H, W)"""


def openvino_is_there() -> bool:
    """Whether OpenVINO is installed; nothing is imported."""
    return importlib.util.find_spec(MODULE) is not None
