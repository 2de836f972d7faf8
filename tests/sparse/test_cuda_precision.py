"""float32 on a GPU: rounded to TF32 where PyTorch's convolutions may, exact with `--dtype fp32`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from spvos_cli.inference.machine import prepare_arithmetic
from spvos_cli.model.cpu.products import fast_linear
from spvos_cli.model.matching import plain_top_k_readout, similarity, top_k_readout
from spvos_cli.sparse.kernels.cuda import source_for
from spvos_cli.sparse.kernels.precision import tf32_allowed, use_exact_float32

CUDA = torch.device("cuda")
newer = pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="an older PyTorch")


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """As PyTorch starts, before and after."""
    yield
    if hasattr(torch.backends.cudnn, "conv"):
        for operation in (torch.backends.cudnn.conv, torch.backends.cudnn.rnn, torch.backends.cuda.matmul):
            operation.fp32_precision = "none"
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = True, False


def test_as_pytorch_starts() -> None:
    assert tf32_allowed()
    assert [source_for(capability, torch.float32) for capability in (75, 80)] == ["simt.cu", "mma.cu"]


def test_exact_where_pytorch_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    assert source_for(90, torch.float32) == "simt.cu"
    assert source_for(90, torch.float16) == "mma.cu"


@newer
@pytest.mark.parametrize(("precision", "source"), [("ieee", "simt.cu"), ("tf32", "mma.cu")])
def test_the_newer_way_to_say_so(precision: str, source: str) -> None:
    """Where the older one says something else, reading it is an error in PyTorch."""
    torch.backends.cudnn.conv.fp32_precision = precision
    assert source_for(90, torch.float32) == source


@pytest.mark.parametrize(
    ("device", "dtype", "exact"),
    [(CUDA, torch.float32, True), (CUDA, torch.float16, False), (torch.device("cpu"), torch.float32, False)],
)
def test_what_is_asked_for_as_fp32(device: torch.device, dtype: torch.dtype, exact: bool) -> None:
    prepare_arithmetic(device, dtype)
    assert tf32_allowed() == (not exact)
    assert torch.backends.cudnn.allow_tf32 == (not exact)
    assert not torch.backends.cuda.matmul.allow_tf32


@newer
def test_exact_whatever_was_set_before() -> None:
    """In either way, and in both at once; what PyTorch reads afterwards is no error."""
    torch.backends.cuda.matmul.fp32_precision = torch.backends.cudnn.conv.fp32_precision = "tf32"
    torch.backends.cuda.matmul.allow_tf32 = True
    use_exact_float32()
    assert source_for(90, torch.float32) == "simt.cu"
    with torch.backends.cudnn.flags(enabled=True):  # reads and puts back what was set
        pass
    assert not tf32_allowed()
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert not torch.backends.cuda.matmul.allow_tf32


class Operations(TorchDispatchMode):
    """The names of what is run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.name())
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", ["top_k_readout", "plain_top_k_readout", "similarity", "a product on a GPU"])
def test_matching_multiplies_matrices(kind: str) -> None:
    """As a convolution it would be TF32 where that is allowed, and it is unless somebody forbids it."""
    key, memory, value = torch.ones(1, 7, 5), torch.ones(1, 40, 5), torch.ones(1, 2, 40, 3)
    ask = {
        "top_k_readout": lambda: top_k_readout(key, memory, value, 4),
        "plain_top_k_readout": lambda: plain_top_k_readout(key, memory, value, 4),
        "similarity": lambda: similarity(key, memory),
        "a product on a GPU": lambda: fast_linear(key[0].to("meta"), memory[0].to("meta"), None),
    }
    with Operations() as run:
        ask[kind]()
    assert any(name.startswith(("aten::mm", "aten::bmm")) for name in run.names)
    assert not any("conv" in name for name in run.names)
