"""OpenVINO's package tells its makers over the network that it was imported; here nothing does that."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

REPORTER = "openvino_telemetry"


@contextmanager
def without_telemetry() -> Iterator[None]:
    """While OpenVINO is imported the package that reports cannot be: OpenVINO then has a stub for it."""
    before = sys.modules.get(REPORTER)
    sys.modules[REPORTER] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[REPORTER]
        if before is not None:
            sys.modules[REPORTER] = before
