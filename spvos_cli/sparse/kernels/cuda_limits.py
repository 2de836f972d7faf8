"""From which density on cuDNN's dense convolution is faster on a card: measured by `spvos profile --tune`, or
assumed."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import torch

from spvos_cli.files import atomic_path
from spvos_cli.sparse.kernels.limits import Limits

# Until tuned, after tools/roofline.py, which is a prediction.
ON_TENSOR_CORES = 0.3
ON_ORDINARY_CORES = 0.5  # where cuDNN uses them as well
AGAINST_TENSOR_CORES = 0.05  # where cuDNN alone uses them, as for fp16 on cards of compute capability 7.0

log = logging.getLogger(__name__)


def cache_file() -> Path:
    """Where measured limits are kept, for all cards of this user."""
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "spvos" / "cuda_limits.json"


def load_limits(card: str) -> Limits:
    """What was measured on a card of this name; nothing where nothing was, or the file cannot be used."""
    path = cache_file()
    try:
        tables = json.loads(path.read_text())[card]
        return {dtype: {shape: float(limit) for shape, limit in tables[dtype].items()} for dtype in tables}
    except (FileNotFoundError, KeyError):
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.warning("%s cannot be used (%s); remove it and run spvos profile --tune", path, error)
        return {}


def save_limits(card: str, limits: Limits) -> Path:
    """Keeps what was measured on a card, beside that of other cards; returns the file."""
    path = cache_file()
    try:
        cards = json.loads(path.read_text())
    except (OSError, ValueError):
        cards = {}
    cards = {**(cards if isinstance(cards, dict) else {}), card: limits}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path, shared=True) as part:
        part.write_text(json.dumps(cards, indent=1))
    return path


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
