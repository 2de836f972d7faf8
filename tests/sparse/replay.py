"""Launches of the real launcher, recorded with all that they read, and run again in a program of their own:
under sanitizers, or with other sources."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from spvos_cli.resources import cuda_folder
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.kernels.cuda import CUDAKernel
from spvos_cli.sparse.kernels.kernel import Kernel
from spvos_cli.sparse.kernels.reference import REFERENCE
from spvos_cli.sparse.layer_state import (
    LayerState,
    channels_last,
    computed_where_new,
    without_repeated_skips,
)
from spvos_cli.sparse.policy import COMPUTE, SKIP, of_pixels
from tests.sparse.definition import folded, random_conv, random_policy
from tests.sparse.host_gpu import SHIM, HostGPU, Launch, compile_with

SANITIZERS = {
    "none": (),
    "address": ("-fsanitize=address", "-g1"),
    "address and undefined": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g1"),
    "thread": ("-fsanitize=thread", "-g1"),
}
KERNELS = ("compact", "convolve", "decide")


class Variant(NamedTuple):
    """How a convolution is compiled, and a card on which the launcher takes it."""

    source: str
    element: str
    aligned: bool
    dtype: torch.dtype
    capability: int
    tolerance: float  # as a share of the layer's range


VARIANTS = {
    "mma": Variant("mma.cu", "__half", True, torch.float16, 80, 4e-3),
    "mma, any channels": Variant("mma.cu", "__half", False, torch.float16, 80, 4e-3),
    "simt": Variant("simt.cu", "float", True, torch.float32, 70, 1e-5),
    "simt, any channels": Variant("simt.cu", "float", False, torch.float32, 70, 1e-5),
}


class Case(NamedTuple):
    """A layer and its input; `common` channels are the same for two objects of a frame. Policies are of
    pixels, or of cells of `side` pixels in height and width."""

    own: int
    common: int
    outputs: int
    kind: tuple[int, int]
    size: tuple[int, int]
    adds: bool = False
    side: int | None = None
    decides: bool = False  # by logits, not by a policy that is given


# More tiles than blocks, the last one partial; stride 2 with common channels; rows of no quads; an addition;
# cells; a decision.
ALIGNED = (
    Case(24, 0, 264, (3, 1), (5, 7)),
    Case(8, 40, 72, (3, 2), (9, 8)),
    Case(8, 0, 6, (1, 1), (9, 8), adds=True),
    Case(8, 0, 72, (3, 1), (8, 12), side=4),
    Case(8, 0, 8, (1, 1), (5, 7), decides=True),
)
UNALIGNED = (
    Case(13, 0, 71, (3, 1), (5, 7)),
    Case(5, 3, 7, (3, 2), (9, 8)),
    Case(7, 0, 8, (1, 1), (9, 8), adds=True),
    Case(5, 0, 7, (1, 1), (6, 10), side=2),
    Case(5, 0, 7, (1, 1), (5, 7), decides=True),
)


class Recorder:
    """Told of launches, keeps their parameters and the memory behind their pointers as it was before.

    Args:
        output: of the layer, (B, C, H, W).
    """

    def __init__(self, output: Tensor) -> None:
        self.launches: list[Launch] = []
        self.buffers: dict[int, bytes] = {}
        self._pixels, self._element = output[:, 0].numel(), output.element_size()
        self._row_bytes = output.shape[1] * self._element
        self._listed = 0

    def __call__(self, launch: Launch) -> None:
        self.launches.append(launch._replace(parameters=launch.parameters.copy()))
        for name, length in self._lengths(launch).items():
            address = int(launch.parameters[name][0])
            if address and address not in self.buffers:
                self.buffers[address] = ctypes.string_at(address, length)

    def _lengths(self, launch: Launch) -> dict[str, int]:
        job = {name: int(launch.parameters[name][0]) for name in launch.parameters.dtype.names}
        if launch.kernel == "decide":
            self._listed = pixels = job["pixels"]
            own = {"parts": 6 * pixels * self._element, "bias": 3 * self._element, "logits": 12 * pixels}
            own |= {"policy": pixels, "given": pixels, "unknown": pixels // job["row_pixels"]}
            own["skipped"] = job["row_bytes"]
        elif launch.kernel == "compact":
            self._listed = job["pixels"]
            own = {"policy": self._listed, "skipped": job["row_bytes"]}
        else:
            images = self._pixels // (job["out_height"] * job["out_width"])
            area, taps = job["height"] * job["width"], job["outputs"] * job["size"] ** 2
            own = {
                "input": images * area * job["channels"] * self._element,
                "common": images // job["objects"] * area * job["common_channels"] * self._element,
                "weight": taps * (job["channels"] + job["common_channels"]) * self._element,
                "bias": self._row_bytes,
                "policy": job["cells"],
                "before": job["cells"],
                "skipped": self._row_bytes,
            }
        return {**own, "output": self._pixels * self._row_bytes, "counter": 4, "list": 4 * self._listed}

    def written(self, output: int, expected: Tensor, tolerance: float) -> bytes:
        """As `replay.cpp` reads it.

        Args:
            output: the address of what is compared.
            expected: (B, C, H, W), channels last.
            tolerance: largest error.
        """
        index = {address: i for i, address in enumerate(self.buffers)}
        parts = [struct.pack("i", len(index)), *(counted(content) for content in self.buffers.values())]
        parts.append(struct.pack("i", len(self.launches)))
        for kernel, grid, block, parameters in self.launches:
            pointers = [
                number
                for name in parameters.dtype.names
                if (address := int(parameters[name][0])) in index
                and parameters.dtype.fields[name][0] == np.uint64
                for number in (parameters.dtype.fields[name][1], index[address])
            ]
            parts.append(struct.pack("3i", KERNELS.index(kernel), grid, block))
            parts.append(counted(parameters.tobytes()))
            parts.append(struct.pack(f"{1 + len(pointers)}i", len(pointers), *pointers))
        values = expected.permute(0, 2, 3, 1).float().contiguous().numpy().tobytes()
        return b"".join([*parts, struct.pack("if", index[output], tolerance), counted(values)])


def counted(content: bytes) -> bytes:
    return struct.pack("q", len(content)) + content


def record(variant: Variant) -> bytes:
    """The cases of a variant, as the launcher starts them for a card with one multiprocessor."""
    cases = ALIGNED if variant.aligned else UNALIGNED
    return b"".join(record_case(variant, case, seed) for seed, case in enumerate(cases))


def record_case(variant: Variant, case: Case, seed: int) -> bytes:
    shape = (case.own + case.common, case.outputs, *case.kind)
    conv = folded(random_conv(seed, shape, norm=True, relu=not case.adds))
    conv = conv.to(variant.dtype, memory_format=torch.channels_last)
    x, shared = (
        torch.randn(n, c, *case.size).to(variant.dtype, memory_format=torch.channels_last)
        for n, c in ((2, case.own), (1, case.common))
    )
    output = torch.randn_like(conv.dense(x, shared if case.common else None))
    output = output.contiguous(memory_format=torch.channels_last)
    height, width = (length // (case.side or 1) for length in output.shape[2:])
    policy = random_policy(seed, (2, height, width), 0.6 if case.side is None else 0.3)
    recorder, expected = Recorder(output), output.clone()
    kernel = CUDAKernel(HostGPU(variant.capability, on_launch=recorder).launcher, dense_above=1.0)
    for backend, target in ((kernel, output), (REFERENCE, expected)):
        step(backend, case)(conv, x, shared if case.common else None, policy, target)
    scale = expected.float().abs().max().item()
    return recorder.written(output.data_ptr(), expected, variant.tolerance * scale)


def step(backend: Kernel, case: Case) -> Callable[..., None]:
    """The kernel's method for a case."""
    side = case.side

    def add(conv: SparseConv2d, x: Tensor, shared: Tensor | None, policy: Tensor, output: Tensor) -> None:
        backend.add(conv, x, policy, output)

    def update_cells(
        conv: SparseConv2d, x: Tensor, shared: Tensor | None, policy: Tensor, output: Tensor
    ) -> None:
        """Every third cell was skipped before, and is left as it is where it is skipped again."""
        before = policy.flatten().clone().fill_(COMPUTE)
        before[::3] = SKIP
        before = before.view_as(policy)
        if isinstance(backend, CUDAKernel):
            backend.update_cells(conv, x, shared, backend.list_cells(policy, before), output)
        else:
            backend.update(conv, x, shared, of_pixels(without_repeated_skips(policy, before), side), output)

    def decide(conv: SparseConv2d, x: Tensor, shared: Tensor | None, policy: Tensor, output: Tensor) -> None:
        """As `update_cells`, by logits that say what the policy does, in the second row, which is new, as in
        the first."""
        before = policy.flatten().clone().fill_(COMPUTE)
        before[::3] = SKIP
        before, is_new = before.view_as(policy), torch.tensor([False, True])
        chosen = torch.nn.functional.one_hot(policy.long(), 3).permute(0, 3, 1, 2).to(x)
        if isinstance(backend, CUDAKernel):
            state = LayerState(
                x.shape[2:], output, before, channels_last(torch.zeros(chosen.shape)), is_new=is_new
            )
            parts = channels_last(torch.cat([chosen, chosen], dim=1))
            assert backend.decide(conv, x, shared, parts, torch.zeros(3).to(x), state)
        else:
            policy = computed_where_new(policy, is_new)
            backend.update(conv, x, shared, without_repeated_skips(policy, before), output)

    if case.decides:
        return decide
    return add if case.adds else backend.update if side is None else update_cells


def build(variant: Variant, sanitizer: str, target: Path, sources: Path | None = None) -> None:
    """The program that replays; `sources` instead of the folder `cuda`."""
    folder = sources or cuda_folder()
    defines = (
        f'-DSOURCE="{variant.source}"',
        f"-DELEMENT={variant.element}",
        f"-DALIGNED={variant.aligned:d}",
    )
    compile_with(SHIM / "replay.cpp", target, ("-O1", f"-I{folder}", *defines, *SANITIZERS[sanitizer]))


def replay(program: Path, recorded: Path) -> subprocess.CompletedProcess[str]:
    """Its exit status is 0 where all went well."""
    options = {"ASAN_OPTIONS": "detect_leaks=0", "TSAN_OPTIONS": "exitcode=66 halt_on_error=1"}
    command = [str(program), str(recorded)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **options}, timeout=600)
