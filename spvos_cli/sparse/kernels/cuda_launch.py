"""The CUDA sources: what they are compiled with, and how their kernels are started on torch's stream."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from spvos_cli.resources import cuda_folder


def _parameters(pointers: str, numbers: str) -> np.dtype:
    """As the struct of the same fields in the sources lies in memory."""
    fields = [(name, np.uint64) for name in pointers.split()] + [(name, np.int32) for name in numbers.split()]
    return np.dtype(fields, align=True)


COMPACTION = _parameters("policy skipped output counter list", "pixels row_bytes")
DECISION = _parameters(
    "parts bias logits policy given unknown skipped output counter list", "pixels row_bytes row_pixels"
)
LAYER = _parameters(
    "input common weight bias counter list output policy before skipped",
    "channels common_channels outputs height width out_height out_width size stride objects relu accumulate"
    " cells side_bits",
)
ELEMENTS = {torch.float32: "float", torch.float16: "__half", torch.bfloat16: "__nv_bfloat16"}

Function = Callable[[tuple[int, ...], tuple[int, ...], tuple[np.ndarray, ...]], None]


class Module(Protocol):
    """What is used of CuPy's RawModule."""

    def get_function(self, name: str) -> Function: ...


class Card(NamedTuple):
    """What a launch depends on.

    Attributes:
        capability: compute capability, 86 for 8.6.
        multiprocessors: how many there are.
    """

    capability: int
    multiprocessors: int


class Program(NamedTuple):
    """A kernel and how it is compiled.

    Attributes:
        source: the file, as "mma.cu".
        defines: NAME=VALUE, as the file describes them.
        kernel: its name there.
    """

    source: str
    defines: tuple[str, ...]
    kernel: str


class Launcher:
    """Starts kernels; each is compiled when it is first used, once for each set of options.

    Args:
        device: where tensors are.
        raw_module: CuPy's RawModule, or what takes its place.
        on_stream: a context in which launches go to torch's current stream.
    """

    def __init__(
        self,
        card: Card,
        device: torch.device,
        raw_module: Callable[..., Module],
        on_stream: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self.card, self.device = card, device
        self._raw_module, self._on_stream = raw_module, on_stream
        self._functions: dict[tuple[str, ...], Function] = {}

    def start(self, program: Program, grid: int, block: int, parameters: np.ndarray) -> None:
        """Starts a kernel that takes one struct: `parameters`, (1,), of COMPACTION, DECISION or LAYER."""
        function = self.compile(*program)
        with self._on_stream():
            function((grid,), (block,), (parameters,))

    def compile(self, source: str, defines: tuple[str, ...], kernel: str) -> Function:
        """A `Program`, compiled if it was not before."""
        key = (source, *defines)
        if key not in self._functions:
            code, options = (cuda_folder() / source).read_text(), compile_options(defines)
            with self._on_stream():
                self._functions[key] = self._raw_module(code=code, options=options).get_function(kernel)
        return self._functions[key]


def compile_options(defines: tuple[str, ...]) -> tuple[str, ...]:
    """For NVRTC. CuPy's cache on disk knows a source by its own text and its options: these stand for the
    headers."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(cuda_folder().glob("*.cuh"))))
    stamp = f"HEADERS={digest.hexdigest()[:16]}"
    return ("-std=c++17", f"-I{cuda_folder()}", *(f"-D{define}" for define in (stamp, *defines)))


@functools.cache
def cupy_launcher(index: int) -> Launcher:
    """The launcher of a CUDA device.

    Raises:
        Exception: CuPy is missing, or too old, or does not work here; of whatever type CuPy raises.
    """
    import cupy

    properties = torch.cuda.get_device_properties(index)
    card = Card(10 * properties.major + properties.minor, properties.multi_processor_count)

    @contextmanager
    def on_stream() -> Iterator[None]:
        stream = _Stream(torch.cuda.current_stream(index).cuda_stream)
        with cupy.cuda.Device(index), cupy.cuda.Stream.from_external(stream):
            yield

    return Launcher(card, torch.device("cuda", index), cupy.RawModule, on_stream)


class _Stream(NamedTuple):
    """A stream as CuPy takes those of others."""

    handle: int

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.handle
