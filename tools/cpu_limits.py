"""Renews spvos_cli/sparse/kernels/limits.json: from which density on a dense convolution is faster on a CPU.

`python -m tools.cpu_limits float32 > limits.json` measures the types that are named, here and now, and keeps
the others as they ship; without names float32 and bfloat16. It takes some minutes, on a machine that does
nothing else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence

import torch

from spvos_cli.inference.machine import use_threads
from spvos_cli.profiling.break_even import GatedShape, gated_shapes, measure_limits
from spvos_cli.sparse.kernels.cpu import LIMITS, CPUKernel

TYPES = ("float32", "bfloat16")


@torch.inference_mode()
def renewed_limits(names: Sequence[str], shapes: Iterable[GatedShape]) -> dict[str, dict[str, float]]:
    """The shipped limits, those of the named types measured anew: by type and shape."""
    kernels = CPUKernel(dense_above=1.0), CPUKernel(dense_above=-1.0)
    dtypes = [getattr(torch, name) for name in names]
    return json.loads(LIMITS.read_text()) | measure_limits(shapes, dtypes, *kernels, torch.device("cpu"))


def main() -> None:
    names = sys.argv[1:] or TYPES
    if unknown := set(names) - set(TYPES):
        sys.exit(f"unknown types {', '.join(sorted(unknown))}; expected some of {', '.join(TYPES)}")
    use_threads(None)
    json.dump(renewed_limits(names, gated_shapes()), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
