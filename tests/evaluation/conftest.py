"""Running `spvos eval`, and masks to score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Command, write_mask

Clip = tuple[list[np.ndarray], list[np.ndarray]]


@pytest.fixture
def spvos_eval(spvos: Command) -> Command:
    """As `spvos`, with `eval` before the arguments."""
    return lambda arguments: spvos(f"eval {arguments}")


def write_masks(folder: Path, masks: list[np.ndarray]) -> Path:
    """Indexed PNGs 00000.png, 00001.png, ..."""
    folder.mkdir(parents=True)
    for t, ids in enumerate(masks):
        write_mask(folder / f"{t:05d}.png", ids)
    return folder


def shifted(masks: list[np.ndarray]) -> list[np.ndarray]:
    """A prediction that is a little off."""
    return [np.roll(ids, 3, axis=1) for ids in masks]
