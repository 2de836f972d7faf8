"""The README's Python examples run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import write_mask, write_video

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example(tmp_path: Path, clip: tuple[list[np.ndarray], list[np.ndarray]], number: int) -> None:
    write_video(tmp_path / "input.mp4", clip[0])
    write_mask(tmp_path / "first.png", clip[1][0])
    command = [sys.executable, "-c", EXAMPLES[number]]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 2
