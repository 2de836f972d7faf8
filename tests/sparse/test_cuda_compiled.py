"""What NVRTC makes of the CUDA sources, for every architecture: no device is needed for that."""

from __future__ import annotations

import re

import pytest

from tests.sparse.nvrtc import compiled, instructions, source_text

CAPABILITIES = (61, 70, 75, 80, 86, 89, 90, 100, 120)
ALIKE = (86, 89, 100)  # the instructions of 80, and of 90: a type is enough there
REGISTERS = {"compact.cu": 64, "decide.cu": 64, "simt.cu": 96, "mma.cu": 128}
THREADS = {"compact.cu": 0, "decide.cu": 0, "simt.cu": 256, "mma.cu": 128}  # launch bounds; 0: none
RING = 2 * 4 * 64 * 20 * 4  # bytes: pixels and weights, four stages, 64 rows of 16 words and a gap of 4


def variants(capability: int) -> list[tuple[str, tuple[str, ...]]]:
    """Sources and their defines, as the launcher may ask for them; not every type with every alignment."""
    on_tensor_cores = ["float", "__half", "__nv_bfloat16"] if capability >= 80 else ["__half"]
    if capability in ALIKE:
        return [("compact.cu", ()), ("mma.cu", ("ELEMENT=__half", "ALIGNED=1"))]
    found = [("compact.cu", ()), ("decide.cu", ("ELEMENT=__half",))]
    found += [("simt.cu", ("ELEMENT=__half", "ALIGNED=1")), ("simt.cu", ("ELEMENT=float", "ALIGNED=0"))]
    if capability >= 75:
        found += [("mma.cu", (f"ELEMENT={element}", "ALIGNED=1")) for element in on_tensor_cores]
        found += [("mma.cu", ("ELEMENT=__half", "ALIGNED=0"))]
    return found


def numbers(pattern: str, log: str) -> list[int]:
    return [int(number) for number in re.findall(pattern, log)]


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_resources(capability: int) -> None:
    """One kernel a source: all in registers; the ring of stages, its rows apart, as large as it is meant."""
    for source, defines in variants(capability):
        _, log, ptx = compiled(source_text(source), defines, capability)
        assert numbers(r"(\d+) bytes stack frame", log) == [0], (source, defines)
        assert numbers(r"(\d+) bytes spill", log) == [0, 0], (source, defines)
        (registers,) = numbers(r"Used (\d+) registers", log)
        assert registers <= REGISTERS[source], (source, defines)
        assert numbers(r"\.maxntid (\d+)", ptx) == [THREADS[source]] * (THREADS[source] > 0)
        if source == "mma.cu":
            assert RING <= sum(numbers(r"(\d+) bytes smem", log)) <= RING + 1024, defines  # 9.0: 1 KB its own


ON_TENSOR_CORES = [
    (75, "__half", "HMMA.1688.F32", 32),
    *((capability, "__half", "HMMA.16816.F32", 16) for capability in CAPABILITIES if capability >= 80),
    *(
        (capability, element, name, 16)
        for capability in (80, 86, 90, 120)
        for element, name in (("__nv_bfloat16", "HMMA.16816.F32.BF16"), ("float", "HMMA.1688.F32.TF32"))
    ),
]


@pytest.mark.parametrize(("capability", "element", "product", "count"), ON_TENSOR_CORES)
def test_instructions(capability: int, element: str, product: str, count: int) -> None:
    """The type's own product and no other; asynchronous copies from 8.0 on, of 16 bytes, each with a
    predicate that makes it zeros; a wait that leaves two groups on their way; no local memory."""
    found = instructions("mma.cu", (f"ELEMENT={element}", "ALIGNED=1"), capability)
    names = [line.split(" ")[0] for line in found]
    products = [name for name in names if name.startswith("HMMA")]
    assert set(products) == {product}
    assert len(products) >= count
    copies = [line for line in found if line.startswith("LDGSTS")]
    waits = [line for line in found if line.startswith("DEPBAR")]
    if capability >= 80:
        assert len(copies) >= 8
        assert all(re.fullmatch(r"LDGSTS\.E\.BYPASS\.128(\.ZFILL)? .*, !?P\d", line) for line in copies)
        assert set(waits) == {"DEPBAR.LE SB0, 0x2"}
        assert "LDGDEPBAR" in names
    else:
        assert not copies
    assert sum(name.startswith("BAR.SYNC") for name in names) >= 2
    assert not [name for name in names if name.startswith(("LDL", "STL"))]
