"""What NVRTC makes of the CUDA sources, for every architecture: no device is needed for that."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path

import pytest

from spvos_cli.resources import cuda_folder
from spvos_cli.sparse.kernels.cuda_launch import compile_options

nvrtc = pytest.importorskip("cupy_backends.cuda.libs.nvrtc", reason="CuPy is not installed: no NVRTC")

CAPABILITIES = (70, 75, 80, 86, 89, 90, 100)
REGISTERS = {"compact.cu": 64, "simt.cu": 96, "mma.cu": 128}  # four blocks of mma.cu fit a multiprocessor
SHARED_BYTES = 48 << 10  # what every card has without asking


def nvrtc_version() -> tuple[int, int]:
    try:
        return nvrtc.getVersion()
    except Exception as error:  # its loader raises what it likes
        pytest.skip(f"NVRTC is not installed: {type(error).__name__}")


def variants(capability: int) -> list[tuple[str, tuple[str, ...]]]:
    """Sources and their defines, as the launcher may ask for them; not every type with every alignment."""
    on_tensor_cores = ["float", "__half", "__nv_bfloat16"] if capability >= 80 else ["__half"]
    found = [("compact.cu", ())]
    found += [("simt.cu", ("ELEMENT=__half", "ALIGNED=1")), ("simt.cu", ("ELEMENT=float", "ALIGNED=0"))]
    if capability >= 75:
        found += [("mma.cu", (f"ELEMENT={element}", "ALIGNED=1")) for element in on_tensor_cores]
        found += [("mma.cu", ("ELEMENT=__half", "ALIGNED=0"))]
    return found


@functools.cache
def compiled(source: str, defines: tuple[str, ...], capability: int) -> tuple[bytes, str]:
    """The binary, and what ptxas says about it; with the options that CuPy adds to the launcher's."""
    core = pytest.importorskip("cupy._core.core")
    options = [
        *core.assemble_cupy_compiler_options(()),
        *(option for option in compile_options(defines) if not option.startswith("-std")),
        "-ftz=true",
        "--device-as-default-execution-space",
        f"-arch=sm_{capability}",
        "--ptxas-options=-v",
    ]
    program = nvrtc.createProgram((cuda_folder() / source).read_text(), source, (), ())
    try:
        nvrtc.compileProgram(program, tuple(options))
        return nvrtc.getCUBIN(program) + b"\0", nvrtc.getProgramLog(program)
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    finally:
        nvrtc.destroyProgram(program)


def numbers(pattern: str, log: str) -> list[int]:
    return [int(number) for number in re.findall(pattern, log)]


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_resources(capability: int) -> None:
    """One kernel a source: all in registers, four blocks of it on a multiprocessor."""
    version = nvrtc_version()
    if capability == 70 and version >= (13, 0):
        pytest.skip(f"NVRTC {version} knows nothing older than 7.5")
    for source, defines in variants(capability):
        _, log = compiled(source, defines, capability)
        assert numbers(r"(\d+) bytes stack frame", log) == [0], (source, defines)
        assert numbers(r"(\d+) bytes spill", log) == [0, 0], (source, defines)
        (registers,) = numbers(r"Used (\d+) registers", log)
        assert registers <= REGISTERS[source], (source, defines)
        assert sum(numbers(r"(\d+) bytes smem", log)) <= SHARED_BYTES


def nvdisasm() -> Path:
    """NVIDIA's disassembler, from its wheel."""
    import nvidia

    found = [path for folder in nvidia.__path__ for path in Path(folder).rglob("bin/nvdisasm")]
    if not found:
        pytest.skip("nvidia-cuda-nvdisasm is not installed")
    return found[0]


def instructions(binary: bytes, folder: Path) -> dict[str, int]:
    """How often each machine instruction is there."""
    (folder / "kernel.cubin").write_bytes(binary)
    command = [str(nvdisasm()), "-c", str(folder / "kernel.cubin")]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    counts: dict[str, int] = {}
    for name in re.findall(r"\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9]+)", text):
        counts[name] = counts.get(name, 0) + 1
    return counts


@pytest.mark.parametrize(
    ("capability", "element"),
    [(capability, "__half") for capability in CAPABILITIES[1:]] + [(80, "__nv_bfloat16"), (80, "float")],
)
def test_instructions(capability: int, element: str, tmp_path: Path) -> None:
    """Products on tensor cores, asynchronous copies from 8.0 on, nothing in local memory."""
    nvrtc_version()
    binary, _ = compiled("mma.cu", (f"ELEMENT={element}", "ALIGNED=1"), capability)
    counts = instructions(binary, tmp_path)
    assert counts.get("HMMA", 0) >= 16
    assert (counts.get("LDGSTS", 0) > 0) == (capability >= 80)
    assert counts.get("BAR", 0) >= 2
    assert not {"LDL", "STL"} & counts.keys()
