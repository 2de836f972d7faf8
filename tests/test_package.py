"""What is installed: the command, what it imports, and what the wheel carries."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from spvos_cli import __version__

HEAVY = {"torch", "av", "cv2", "numpy"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_answers_without_heavy_imports(option: str) -> None:
    script = f"""
import sys
from spvos_cli.__main__ import main
sys.argv = ["spvos", "{option}"]
try:
    main()
finally:
    print(sorted(set({sorted(HEAVY)}) & set(sys.modules)), file=sys.stderr)
"""
    done = run("-c", script)
    assert done.returncode == 0
    assert done.stderr.strip() == "[]"
    assert (__version__ if option == "--version" else "segment") in done.stdout


def test_module_runs() -> None:
    assert run("-m", "spvos_cli", "--version").stdout.strip() == f"spvos {__version__}"


@pytest.mark.parametrize("command", ["segment", "annotate", "train", "eval"])
def test_help_of_every_command(command: str) -> None:
    done = run("-m", "spvos_cli", command, "--help")
    assert done.returncode == 0
    assert "--model" in done.stdout


@pytest.mark.slow
def test_wheel_carries_weights_and_cuda_sources(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    built = run("-m", "pip", "wheel", "--no-deps", "--no-cache-dir", "-w", str(tmp_path), str(root))
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("spvos-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "spvos_cli/_weights/lite.safetensors" in names
    assert "spvos_cli/_weights/README.md" in names
    assert any(name.startswith("spvos_cli/_cuda/") for name in names)
    page = {f"spvos_cli/annotate/page/{name}" for name in ("index.html", "page.js", "page.css")}
    assert page <= names
    assert not [name for name in names if name.startswith("tests/")]
