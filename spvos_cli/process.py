"""What is changed in a process of ours, the command's or a worker's, and hardly anything in one that only
calls us."""

from __future__ import annotations

import os
import sys
import warnings

SPINNING = "OMP_WAIT_POLICY"  # waiting threads spin by default: beside a busy process that halves the speed


def make_own() -> None:
    """Before PyTorch is loaded."""
    os.environ.setdefault(SPINNING, "PASSIVE")
    # Pillow's remark about large images; what is too large is refused in a line
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")


def load_torch() -> None:
    """Loads PyTorch, where nobody has yet, with threads that sleep while they wait. The environment, which
    says so, is as before afterwards: OpenMP reads it once."""
    if "torch" in sys.modules or SPINNING in os.environ:
        return
    os.environ[SPINNING] = "PASSIVE"
    try:
        import torch  # noqa: F401
    finally:
        del os.environ[SPINNING]
