"""The inline PTX of ptx.cuh, as NVRTC passes it on: which operand goes where, and what is rounded how."""

from __future__ import annotations

import re

import pytest

from tests.sparse.nvrtc import compiled

PROBE = """
#include "ptx.cuh"
struct Words { float sum[4]; unsigned a[4], b[2]; };
extern "C" __global__ void probe(Words words, float* out) {
    multiply(words.sum, words.a, words.b, Element());
    for (int i = 0; i < 4; ++i) out[i] = words.sum[i];
}
"""
WORDS = ("s0", "s1", "s2", "s3", "a0", "a1", "a2", "a3", "b0", "b1")


def products(element: str, capability: int) -> list[tuple[str, ...]]:
    """The `mma` instructions of one `multiply`: the name, then each operand as a word of the probe, within
    the name of a conversion where it is converted, or "new" where an earlier product made it."""
    ptx = compiled(PROBE, (f"ELEMENT={element}",), capability)[2]
    values: dict[str, str] = {}
    found = []
    for name, text in re.findall(r"^\s*([a-z][\w.:]*)\s+([^;]*);", ptx, re.MULTILINE):
        operands = re.findall(r"%\w+|\[[^\]]+\]", text)
        if name.startswith("ld.param") and "probe_param_0" in operands[-1]:
            word = int((re.search(r"\+(\d+)", operands[-1]) or [0, 0])[1]) // 4
            values |= {register: WORDS[word + i] for i, register in enumerate(operands[:-1])}
        elif name.startswith("mov.b32") and len(operands) == 2:
            values[operands[0]] = values.get(operands[1], operands[1])
        elif name.startswith("cvt") and "tf32" in name:
            values[operands[0]] = f"{name}({values[operands[1]]})"
        elif name.startswith("mma"):
            found.append((name, *(values[register] for register in operands[4:])))
            values |= dict.fromkeys(operands[:4], "new")
    return found


SUMS = ("s0", "s1", "s2", "s3")


@pytest.mark.parametrize("capability", [80, 90, 120])
@pytest.mark.parametrize(("element", "kind"), [("__half", "f16"), ("__nv_bfloat16", "bf16")])
def test_sixteen_bits(element: str, kind: str, capability: int) -> None:
    """Rows g and g + 8 in turn, then the second half of the terms: as PTX ISA has m16n8k16's a."""
    name = f"mma.sync.aligned.m16n8k16.row.col.f32.{kind}.{kind}.f32"
    assert products(element, capability) == [(name, "a0", "a1", "a2", "a3", "b0", "b1", *SUMS)]


def test_turing() -> None:
    """Two products of half the depth, the second added to the first."""
    name = "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32"
    first, second = products("__half", 75)
    assert first == (name, "a0", "a1", "b0", *SUMS)
    assert second == (name, "a2", "a3", "b1", *["new"] * 4)


@pytest.mark.parametrize("capability", [80, 90, 120])
def test_tf32(capability: int) -> None:
    """Every operand rounded to the nearest, as cuDNN does; truncated, sums of many terms would drift."""
    name = "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"
    rounded = [f"cvt.rna.tf32.f32({word})" for word in ("a0", "a1", "a2", "a3", "b0", "b1")]
    assert products("float", capability) == [(name, *rounded, *SUMS)]
