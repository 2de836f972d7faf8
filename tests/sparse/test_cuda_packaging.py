"""What the extras for a GPU bring: one CuPy each, and NVRTC where PyTorch does not."""

from __future__ import annotations

from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has none")
markers = pytest.importorskip("packaging.requirements")

EXTRAS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]
LINUX = {"sys_platform": "linux", "platform_machine": "x86_64"}
WINDOWS = {"sys_platform": "win32", "platform_machine": "AMD64"}
MAC = {"sys_platform": "darwin", "platform_machine": "arm64"}


def installed(extra: str, environment: dict[str, str]) -> set[str]:
    found = (markers.Requirement(text) for text in EXTRAS[extra])
    return {need.name for need in found if need.marker is None or need.marker.evaluate(environment)}


@pytest.mark.parametrize(("extra", "cupy"), [("cuda", "cupy-cuda12x"), ("cuda13", "cupy-cuda13x")])
def test_one_cupy(extra: str, cupy: str) -> None:
    """Two overwrite each other's files; PyTorch's own NVRTC is used on Linux; a Mac has no such GPU."""
    assert installed(extra, LINUX) == {cupy}
    assert cupy in installed(extra, WINDOWS)
    assert not [name for name in installed(extra, WINDOWS) - {cupy} if name.startswith("cupy")]
    assert not installed(extra, MAC)


def test_compilation_is_tested_without_pytorch_for_cuda() -> None:
    """Which has no NVRTC where it is for CPUs."""
    assert {"spvos", "nvidia-cuda-nvrtc-cu12", "nvidia-cuda-runtime-cu12"} <= installed("dev", LINUX)
