"""Weights of the network of clicks in half precision, as they ship: half the size, and the same masks.

python -m tools.half_precision spvos_run/weights.safetensors weights/clicks.safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path

from spvos_cli.model.checkpoint import load_clicks, save_weights


def main(given: Path, out: Path) -> None:
    """Writes them; whoever loads them computes in float32 or bfloat16 all the same."""
    save_weights(load_clicks(given).half(), out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
