"""What is changed in a process that is ours, the command's or a worker's: never in one that only calls us."""

from __future__ import annotations

import os
import warnings


def make_own() -> None:
    """Before PyTorch is loaded."""
    # Waiting OpenMP threads spin by default: beside any other busy process that costs ten times the speed.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Pillow's remark about large images; what is too large is refused in a line
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")
