"""NVRTC without a device: binaries, what ptxas says of them, their machine instructions, and PTX."""

from __future__ import annotations

import functools
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from spvos_cli.resources import cuda_folder
from spvos_cli.sparse.kernels.cuda_launch import compile_options

nvrtc = pytest.importorskip("cupy_backends.cuda.libs.nvrtc", reason="CuPy is not installed: no NVRTC")


def nvrtc_version() -> tuple[int, int]:
    """Skips the test where there is no NVRTC."""
    try:
        return nvrtc.getVersion()
    except Exception as error:  # its loader raises what it likes
        pytest.skip(f"NVRTC is not installed: {type(error).__name__}")


def source_text(source: str) -> str:
    return (cuda_folder() / source).read_text()


@functools.cache
def compiled(code: str, defines: tuple[str, ...], capability: int) -> tuple[bytes, str, str]:
    """Compiles as CuPy does, with the options that it adds to the launcher's.

    Returns:
        The binary, what ptxas says about it, and the PTX.
    """
    version = nvrtc_version()
    if capability < 75 and version >= (13, 0):
        pytest.skip(f"NVRTC {version} knows nothing older than 7.5")
    core = pytest.importorskip("cupy._core.core")
    options = [
        *core.assemble_cupy_compiler_options(()),
        *(option for option in compile_options(defines) if not option.startswith("-std")),
        "-ftz=true",
        "--device-as-default-execution-space",
        f"-arch=sm_{capability}",
        "--ptxas-options=-v",
    ]
    program = nvrtc.createProgram(code, "source.cu", (), ())
    try:
        nvrtc.compileProgram(program, tuple(options))
        log = nvrtc.getProgramLog(program)
        return nvrtc.getCUBIN(program) + b"\0", log, nvrtc.getPTX(program).decode()
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    finally:
        nvrtc.destroyProgram(program)


@functools.cache
def nvdisasm() -> Path:
    """NVIDIA's disassembler, from its wheel."""
    import nvidia

    found = [path for folder in nvidia.__path__ for path in Path(folder).rglob("bin/nvdisasm")]
    if not found:
        pytest.skip("nvidia-cuda-nvdisasm is not installed")
    return found[0]


@functools.cache
def instructions(source: str, defines: tuple[str, ...], capability: int) -> tuple[str, ...]:
    """Machine instructions with their modifiers and operands, as "DEPBAR.LE SB0, 0x2"."""
    binary = compiled(source_text(source), defines, capability)[0]
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        command = [str(nvdisasm()), "-c", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9]+.*?)\s*;", text)
    return tuple(re.sub(r"\s+", " ", line) for line in found)
