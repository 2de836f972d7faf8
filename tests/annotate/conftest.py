"""Sessions on a small clip, with a network of nonsense that gives the same nonsense every time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spvos_cli.annotate.session import Session
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.model.network import VOSNetwork
from spvos_cli.segment.options import SegmentOptions
from spvos_cli.ui import Reporter
from tests.conftest import make_frame, write_video

COUNT = 24
Opener = Callable[..., Session]


@pytest.fixture(scope="session")
def engine(weights: Path) -> EngineOptions:
    options = {"dtype": "fp32", "mem_every": 3, "engine": "torch", "device": "cpu"}
    return EngineOptions(weights=weights, method="dense", **options)


@pytest.fixture(scope="session")
def network(engine: EngineOptions) -> VOSNetwork:
    return engine.network()


@pytest.fixture(scope="session")
def gated_network(engine: EngineOptions) -> VOSNetwork:
    return dataclasses.replace(engine, method="triple").network()


@pytest.fixture(scope="session")
def scene() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Frames and true label maps."""
    frames, masks = zip(*(make_frame(t % 20) for t in range(COUNT)), strict=True)
    return list(frames), list(masks)


@pytest.fixture
def open_session(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: EngineOptions,
    network: VOSNetwork,
    scene: tuple[list[np.ndarray], list[np.ndarray]],
) -> Iterator[Opener]:
    """Opens in.mp4, as often as wanted; options by name."""
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "in.mp4", scene[0])
    opened = []

    def open(
        input: str = "in.mp4",
        folder: Path | None = None,
        *,
        network: VOSNetwork = network,
        **options: Any,
    ) -> Session:
        session = Session(input, folder, SegmentOptions(**options), engine, network, Reporter(quiet=True))
        opened.append(session)
        return session

    yield open
    for session in opened:
        session.close()


@pytest.fixture
def session(open_session: Opener) -> Session:
    return open_session()


def wait(session: Session) -> dict[str, Any]:
    """For the job that runs; its status."""
    job = session.worker.job
    assert job is not None
    assert job.ended.wait(60)
    return job.status()
