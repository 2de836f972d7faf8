"""Loading a network from Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spvos_cli.inference.engine import EngineOptions

if TYPE_CHECKING:
    from spvos_cli.model.network import VOSNetwork


def load_model(
    model: str = "lite",
    weights: str | Path | None = None,
    *,
    method: str | None = None,
    sparse: str | None = None,
    gate_all: bool | None = None,
    strategy: str | None = None,
    gate: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    engine: str = "auto",
) -> VOSNetwork:
    """A network for `VideoSegmenter`, `segment_video` and `segment_frames`.

    Args:
        model: "lite", or "spvos" or "xmem" (which need weights).
        weights: a weight file, instead of the shipped one.
        method, sparse, gate_all, strategy, gate: of its gates, as in `EngineOptions`; None: as the weights
            say.
        device: "auto", "cpu" or "cuda".
        dtype: "auto", "fp32", "bf16" or "fp16".
        engine: "auto", "torch", "openvino" or "graphs".

    Raises:
        InputError: the weights, their gates, the device or the arithmetic cannot be had.
    """
    return EngineOptions(
        model=model,
        weights=weights,
        method=method,
        sparse=sparse,
        gate_all=gate_all,
        strategy=strategy,
        gate=gate,
        device=device,
        dtype=dtype,
        engine=engine,
    ).network()
