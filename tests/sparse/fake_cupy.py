"""What is used of CuPy and of torch's devices, without a card: notes where each launch would have gone."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch


class Call(NamedTuple):
    """Something that CuPy was asked for: the device and the stream (a handle) that were current, None where
    none was."""

    what: str
    device: int | None
    stream: int | None
    arguments: tuple[Any, ...]


class FakeCuPy:
    """A stand-in for the module, and for three functions of `torch.cuda`.

    Attributes:
        calls: of compilations and launches.
        stream_of: handles of torch's current stream by device.
        fails: sources that do not compile.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.stream_of = {0: 10, 1: 11}
        self.fails: set[str] = set()
        self._device: int | None = None
        self._stream: int | None = None
        self.cuda = SimpleNamespace(
            Device=lambda index: self._within("_device", index),
            Stream=SimpleNamespace(
                from_external=lambda stream: self._within("_stream", stream.__cuda_stream__()[1])
            ),
        )

    def install(self, monkeypatch: pytest.MonkeyPatch) -> FakeCuPy:
        """In place of CuPy, with an RTX 3060 as device 0 and a T4 as device 1."""
        cards = {0: (8, 6, 28), 1: (7, 5, 40)}
        monkeypatch.setitem(sys.modules, "cupy", self)
        monkeypatch.setattr(
            torch.cuda,
            "get_device_properties",
            lambda index: SimpleNamespace(
                major=cards[index][0], minor=cards[index][1], multi_processor_count=cards[index][2]
            ),
        )
        monkeypatch.setattr(
            torch.cuda, "current_stream", lambda index: SimpleNamespace(cuda_stream=self.stream_of[index])
        )
        monkeypatch.setattr(torch.cuda, "default_stream", lambda index: SimpleNamespace(cuda_stream=0))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "a card")
        return self

    def RawModule(self, *, code: str, options: tuple[str, ...]) -> SimpleNamespace:
        def get_function(name: str) -> Any:
            self._note("compile", name, options)
            for text in self.fails:
                if text in " ".join((name, *options)):
                    raise RuntimeError(f"cannot compile {text}\nat line 1")
            return lambda grid, block, args: self._note("launch", name, grid, block, np.array(args[0]))

        return SimpleNamespace(get_function=get_function)

    def _note(self, what: str, *arguments: Any) -> None:
        self.calls.append(Call(what, self._device, self._stream, arguments))

    @contextlib.contextmanager
    def _within(self, name: str, value: int) -> Iterator[None]:
        before = getattr(self, name)
        setattr(self, name, value)
        try:
            yield
        finally:
            setattr(self, name, before)
