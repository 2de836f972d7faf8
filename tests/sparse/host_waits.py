"""Where the host would wait for a card, or send it something, told from a run on a CPU: by the operations
that do so there, with the line of the package that asked for them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import spvos_cli

PACKAGE = str(Path(spvos_cli.__file__).parent)
WAITING = {  # operations whose result's size, or Python's next step, depends on values on the card
    "aten::_local_scalar_dense",
    "aten::bincount",
    "aten::equal",
    "aten::is_nonzero",
    "aten::masked_select",
    "aten::nonzero",
    "aten::unique_consecutive",
    "aten::_unique2",
    "aten::repeat_interleave.Tensor",
}
METHODS = ("cpu", "numpy", "tolist")  # which a CPU's tensor answers without an operation


class HostWaits(TorchDispatchMode):
    """Attributes: `waits` and `uploads`: what was asked for, and "file:line" of the package where; what is
    done with a tensor that was fetched before is not on a card any more."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[tuple[str, str]] = []
        self.uploads: list[tuple[str, str]] = []
        self._fetched: dict[int, Tensor] = {}  # by address of their memory, which they keep

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        if any(_memory(x) in self._fetched for x in tensors):  # then all are: devices are not mixed
            for x in tree_leaves(result):
                if isinstance(x, Tensor):
                    self.fetched(x)
        elif func.name() in WAITING or _has_boolean_index(func.name(), args):
            self.waits.append((func.name(), _place()))
        elif func.name() == "aten::lift_fresh":  # a tensor of Python's numbers
            self.uploads.append((func.name(), _place()))
        return result

    def fetched(self, x: Tensor) -> None:
        """It is in the host's memory."""
        self._fetched[_memory(x)] = x

    def is_fetched(self, x: Tensor) -> bool:
        return _memory(x) in self._fetched


def _memory(x: Tensor) -> int:
    return x.untyped_storage().data_ptr()


def _has_boolean_index(name: str, args: Any) -> bool:
    if not name.startswith(("aten::index.Tensor", "aten::index_put")):
        return False
    return any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in args[1])


def _place() -> str:
    frame = sys._getframe()
    while frame is not None and not frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    if frame is None:
        return "outside of the package"
    return f"{Path(frame.f_code.co_filename).relative_to(PACKAGE)}:{frame.f_lineno}"


@contextmanager
def host_waits() -> Iterator[HostWaits]:
    """What happens within."""
    mode = HostWaits()
    originals = {name: getattr(Tensor, name) for name in METHODS}
    inside = False

    def noting(name: str) -> Any:
        def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
            nonlocal inside
            if inside:
                return originals[name](self, *args, **kwargs)
            inside = True
            try:
                if not mode.is_fetched(self):
                    mode.waits.append((name, _place()))
                    self = self.clone()  # as a card's would be, another tensor than the one that is fetched
                    mode.fetched(self)
                return originals[name](self, *args, **kwargs)
            finally:
                inside = False

        return method

    for name in METHODS:
        setattr(Tensor, name, noting(name))
    try:
        with mode:
            yield mode
    finally:
        for name, method in originals.items():
            setattr(Tensor, name, method)
