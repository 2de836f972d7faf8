"""Weights in half precision: half the size, and the same masks.

python -m tools.half_precision spvos_run/weights.safetensors weights/clicks.safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path

from spvos_cli.model.checkpoint import load_checkpoint, load_clicks, save_weights, stored_config


def main(given: Path, out: Path) -> None:
    """Writes them; whoever loads them computes in float32 or bfloat16 all the same."""
    load = load_clicks if stored_config(given).architecture == "clicks" else load_checkpoint
    save_weights(load(given).half(), out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
