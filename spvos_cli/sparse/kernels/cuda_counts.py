"""How many pixels each layer computed, as far as that has reached the host, which never waits for it."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

LAYERS = 4096  # gated convolutions that a stream may have: none comes near it


class Event(Protocol):
    """What is used of `torch.cuda.Event`."""

    def record(self, stream: torch.cuda.Stream) -> None: ...

    def query(self) -> bool: ...


class Counts:
    """A counter on the device for each layer of a stream.

    A layer that runs again has come to another frame: then one copy of all counters sets off to the host,
    unless one is on its way, or a CUDA graph is being captured.

    Args:
        device: where the kernels count.
        event: tells when a copy has arrived; by default made for the device. A CPU needs none.
    """

    def __init__(self, device: torch.device, event: Event | None = None) -> None:
        on_card = device.type == "cuda"
        self._device = device
        self._event = new_event() if event is None and on_card else event
        self._counters = torch.zeros(LAYERS, dtype=torch.int32, device=device)
        self._host = torch.zeros(LAYERS, dtype=torch.int32, pin_memory=on_card)
        self._pixels: dict[int, int] = {}  # by layer, of those that were counted since the last copy
        self._sent: dict[int, int] = {}  # likewise, of the copy that is on its way
        self._densities: list[float] = []

    def new_layer(self) -> int:
        """Its number."""
        self._densities.append(0.0)
        return len(self._densities) - 1

    def begin(self, layer: int, pixels: int) -> Tensor:
        """Before a layer runs on so many pixels: its counter, (1,) int32 on the device, 0."""
        if not is_capturing(self._device):
            if layer in self._pixels:
                self._send()
            self._pixels[layer] = pixels
        counter = self._counters[layer : layer + 1]
        return counter.zero_()

    def density(self, layer: int) -> float:
        """A layer's share of computed pixels in the last frame whose counts have arrived; 0 before the
        first."""
        if self._sent and not is_capturing(self._device) and (self._event is None or self._event.query()):
            counts = self._host[: len(self._densities)].tolist()
            for number, pixels in self._sent.items():
                self._densities[number] = counts[number] / pixels
            self._sent = {}
        return self._densities[layer]

    def _send(self) -> None:
        if self._sent:
            return
        layers = len(self._densities)
        self._host[:layers].copy_(self._counters[:layers], non_blocking=True)
        if self._event is not None:
            self._event.record(torch.cuda.current_stream(self._device))
        self._sent, self._pixels = self._pixels, {}


def new_event() -> Event:
    event: Event = torch.cuda.Event()
    return event


def is_capturing(device: torch.device) -> bool:
    """Whether what is started on a device now goes into a CUDA graph."""
    if device.type != "cuda":
        return False
    with torch.cuda.device(device):
        return torch.cuda.is_current_stream_capturing()
