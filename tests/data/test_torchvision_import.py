"""What importing torchvision must not leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
{before}
from spvos_cli.data.torchvision_import import torchvision_module
torchvision_module("io")
import av.logging
print(av.logging.get_level())
"""


@pytest.mark.parametrize(
    ("before", "level"), [("", "None"), ("import av.logging; av.logging.set_level(24)", "24")]
)
def test_pyav_says_as_much_as_before(tmp_path: Path, before: str, level: str) -> None:
    """torchvision 0.24 and earlier make it pass on what decoders' threads say, which can stop a program."""
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "io.py").write_text("import av.logging\nav.logging.set_level(av.logging.ERROR)\n")
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(before=before)],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == level
