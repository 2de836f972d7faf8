"""`profile --tune`: measures on this card from which density on cuDNN is faster than the sparse kernels, and
which engine runs what has no gates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from spvos_cli.errors import InputError
from spvos_cli.inference.dense_engine import MEASURED_ENGINES
from spvos_cli.inference.machine import DTYPES
from spvos_cli.measured import keep_measured
from spvos_cli.profiling.break_even import GatedShape, gated_shapes, measure_limits
from spvos_cli.profiling.engine_speed import measure_engines
from spvos_cli.sparse.kernels import kernel_for
from spvos_cli.sparse.kernels.cuda import CUDAKernel
from spvos_cli.sparse.kernels.cuda_launch import Launcher
from spvos_cli.sparse.kernels.cuda_limits import MEASURED_LIMITS
from spvos_cli.sparse.kernels.limits import Limits
from spvos_cli.sparse.kernels.precision import use_exact_float32

ROWS = (1, 5)  # objects


def tune(device: torch.device) -> dict[str, Any]:
    """Measures the engines and, where the sparse kernels run, all gated shapes of the networks, and keeps
    what is found for this card's next runs.

    Returns:
        engines: milliseconds of a frame by type and engine; files: where it is kept.

    Raises:
        InputError: there is no card.
    """
    if device.type != "cuda":
        raise InputError("--tune", found="the device is a CPU", expected="an NVIDIA GPU", fix="--device cuda")
    use_exact_float32()  # as --dtype fp32 does
    card, engines = torch.cuda.get_device_name(device), measure_engines(device, DTYPES)
    files = [keep_measured(MEASURED_ENGINES, card, engines)]
    kernel = kernel_for(device, torch.float16)
    if isinstance(kernel, CUDAKernel):  # where it is none, one line has said why
        limits = measure(kernel.launcher, device, gated_shapes(module=True), DTYPES.values())
        files.append(keep_measured(MEASURED_LIMITS, card, limits))
    return {"engines": engines, "files": [str(file) for file in files]}


@torch.inference_mode()
def measure(
    launcher: Launcher, device: torch.device, shapes: Iterable[GatedShape], dtypes: Iterable[torch.dtype]
) -> Limits:
    """The limits of shapes, by type, shape and number of objects."""
    sparse, dense = (CUDAKernel(launcher, dense_above=limit) for limit in (1.0, -1.0))
    return measure_limits(shapes, dtypes, sparse, dense, device, ROWS)
