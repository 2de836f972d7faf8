"""Mistakes in the CUDA sources and in what starts them, each with the tests that must notice it; a
maintainer's tool, for it takes half an hour.

`python -m tools.cuda_mutants [PART OF A NAME ...]` applies each to a copy of the tree, runs its tests there
until one fails, and prints a table and how many were killed. No GPU is needed. What
`tests/sparse/cuda_mutants.py` has is not repeated here: pytest runs those.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
COPIED = ("spvos_cli", "cuda", "tests", "tools", "pyproject.toml")
KERNELS = "spvos_cli/sparse/kernels"
PATIENCE = 600  # seconds for a mutant's tests

SOURCES = ("large", "kernels", "ptx", "compiled")
PTX = ("ptx", "compiled")
PYTHON = ("operands", "glue", "counts", "large", "launch", "kernels")


class Mutant(NamedTuple):
    """A change of a file.

    Attributes:
        name: what is wrong.
        file: below the root.
        before: text that is there exactly once.
        after: what takes its place.
        tests: files `tests/sparse/test_cuda_NAME.py`, in the order in which they run.
        equal: why nothing can notice it; None where something must.
    """

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...] = SOURCES
    equal: str | None = None

    def changed(self, text: str) -> str:
        """The file with the mistake.

        Raises:
            ValueError: the text is not there exactly once.
        """
        if text.count(self.before) != 1:
            raise ValueError(f"{self.name}: {self.file} has the text {text.count(self.before)} times")
        return text.replace(self.before, self.after)


def compact(name: str, before: str, after: str) -> Mutant:
    return Mutant(name, "cuda/compact.cu", before, after)


def decide(name: str, before: str, after: str) -> Mutant:
    return Mutant(name, "cuda/decide.cu", before, after, ("decide",))


def skipped_row(name: str, before: str, after: str) -> Mutant:
    return Mutant(name, "cuda/policy.cuh", before, after)


def layer(name: str, before: str, after: str, equal: str | None = None) -> Mutant:
    return Mutant(name, "cuda/layer.cuh", before, after, equal=equal)


def mma(name: str, before: str, after: str, tests: tuple[str, ...] = SOURCES) -> Mutant:
    return Mutant(name, "cuda/mma.cu", before, after, tests)


def ptx(name: str, before: str, after: str, equal: str | None = None) -> Mutant:
    return Mutant(name, "cuda/ptx.cuh", before, after, PTX, equal)


def cuda(name: str, before: str, after: str, equal: str | None = None) -> Mutant:
    return Mutant(name, f"{KERNELS}/cuda.py", before, after, PYTHON, equal)


def operands(name: str, before: str, after: str) -> Mutant:
    return Mutant(name, f"{KERNELS}/cuda_layer.py", before, after, PYTHON)


def cells(name: str, before: str, after: str) -> Mutant:
    return Mutant(name, f"{KERNELS}/cuda.py", before, after, ("cells",))


def counts(name: str, before: str, after: str) -> Mutant:
    return Mutant(name, f"{KERNELS}/cuda_counts.py", before, after, ("counts", *PYTHON))


def launch(name: str, before: str, after: str) -> Mutant:
    return Mutant(name, f"{KERNELS}/cuda_launch.py", before, after, PYTHON)


WIDE_OFFSET = "static_cast<long long>(pixel) * units;"
HALF = "m16n8k16.row.col.f32.f16.f16.f32"
REGISTERS = """                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2])"""
ROUND = '    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(__uint_as_float(bits)));\n'

MUTANTS = (
    # Grids and offsets.
    compact("every block looks at the first pixels", "blockIdx.x * blockDim.x + threadIdx.x", "threadIdx.x"),
    compact("blocks of 128 assumed", "blockIdx.x * blockDim.x +", "blockIdx.x * 128 +"),
    skipped_row("offset of a skipped row in 16 bits", WIDE_OFFSET, "(unsigned short)(pixel * units);"),
    skipped_row("offset of a skipped row in 32 bits", WIDE_OFFSET, "pixel * units;"),
    layer(
        "offset in the input in 16 bits",
        "features + pixel * channels + channel",
        "features + (unsigned short)(pixel * channels + channel)",
    ),
    layer(
        "offset in the weights in 16 bits",
        "layer.weight + before + channel",
        "layer.weight + (unsigned short)(before + channel)",
    ),
    mma(
        "tiles modulo 256",
        "tiles = (count + TILE - 1) / TILE * columns;",
        "tiles = (count + TILE - 1) / TILE * columns % 256;",
    ),
    mma("a block makes one tile", "tile += gridDim.x", "tile += tiles"),
    layer(
        "margin of any size above 1",
        "margin = layer.size / 2",
        "margin = layer.size > 1",
        equal="the same for sizes 1 and 3, and there are no others",
    ),
    layer(
        "stride 2 for any above 1",
        "% layer.out_width * layer.stride - margin",
        "% layer.out_width * (layer.stride > 1 ? 2 : 1) - margin",
        equal="the same for strides 1 and 2, and there are no others",
    ),
    # The pipeline.
    mma("rows without a gap between banks", "PITCH = WORDS + 4", "PITCH = WORDS"),
    mma("two stages", "STAGES = 4", "STAGES = 2"),
    mma("no launch bounds", " __launch_bounds__(THREADS) convolve", " convolve"),
    mma(
        "empty groups not committed",
        "            commit_copies();\n        };",
        "            if (number < chunks) commit_copies();\n        };",
    ),
    # Inline PTX.
    ptx("bf16 by the instruction of fp16", "m16n8k16.row.col.f32.bf16.bf16.f32", HALF),
    ptx(
        "registers of a swapped", REGISTERS, REGISTERS.replace('"r"(a[1]), "r"(a[2])', '"r"(a[2]), "r"(a[1])')
    ),
    ptx("copies never fill with zeros", "(whole ? 16 : 0)", "(16)"),
    ptx("waits for a group too few", ' ::"n"(PENDING)', ' ::"n"(PENDING + 1)'),
    ptx("TF32 truncated", ROUND, "    bits &= 0xffffe000u;\n"),
    ptx("TF32 as it is", ROUND, ""),
    ptx(
        "a wait that orders nothing for the compiler",
        '"n"(PENDING) : "memory"',
        '"n"(PENDING)',
        equal="the same machine code today",
    ),
    ptx(
        "Turing's halves on every card",
        f'800\n    asm volatile("mma.sync.aligned.{HALF}',
        f'8000\n    asm volatile("mma.sync.aligned.{HALF}',
    ),
    # Arithmetic.
    mma(
        "sums rounded between chunks",
        "[warp_column], sums);\n        }",
        "[warp_column], sums);\n            for (auto& a : sums) for (auto& b : a) for (float& c : b) {"
        " Element e; assign(e, c); c = to_float(e); }\n        }",
        ("kernels",),
    ),
    layer(
        "rounded before the addition",
        "sum += to_float(place);",
        "Element rounded; assign(rounded, sum); sum = to_float(rounded) + to_float(place);",
    ),
    mma(
        "wrong bias for a quarter",
        "column + 16), bias_of(layer, column + 17)",
        "column + 8), bias_of(layer, column + 9)",
    ),
    layer(
        "ReLU before the addition",
        "    if (layer.accumulate) {\n        sum +=",
        "    sum = layer.relu ? fmaxf(sum, 0.0f) : sum;\n    if (layer.accumulate) {\n        sum +=",
        equal="nothing is ever added to where a ReLU follows",
    ),
    layer("not a number becomes 0", "fmaxf(sum, 0.0f) : sum)", "fmaxf(sum, 0.0f) : sum == sum ? sum : 0.0f)"),
    # The launcher's grids.
    cuda("one block lists", "blocks = -(-count // LIST_THREADS)", "blocks = 1"),
    cuda(
        "grid of the list rounded down",
        "blocks = -(-count // LIST_THREADS)",
        "blocks = max(1, count // LIST_THREADS)",
    ),
    cuda(
        "one block convolves",
        "blocks = min(tiles, BLOCKS * self.launcher.card.multiprocessors)",
        "blocks = 1",
    ),
    cuda("grid from the wrong channels", "-(-conv.out_channels // TILE)", "-(-conv.in_channels // TILE)"),
    cuda("wrong block size of the list", "LIST_THREADS = 256", "LIST_THREADS = 128"),
    cuda("wrong block size of the convolution", '"simt.cu": 256', '"simt.cu": 128'),
    # Types, limits, alignment, layout.
    operands("no limit of 32 bits", "LARGEST = 2**31 - 1", "LARGEST = 2**63"),
    operands("limit of unsigned numbers", "LARGEST = 2**31 - 1", "LARGEST = 2**32 - 1"),
    operands("types mixed", "same = {tensor.dtype for tensor in tensors} == {output.dtype}", "same = True"),
    operands("output that is not aligned", " and output.data_ptr() % PIECE == 0", ""),
    operands("alignment without addresses", "[*channels, *(t.data_ptr() for t in tensors)]", "channels"),
    operands(
        "alignment without the common channels",
        "for t in (self.input, self.common) if t is not None",
        "for t in (self.input,)",
    ),
    operands("alignment of 8 bytes", "PIECE = 16", "PIECE = 8"),
    cuda("policy as it lies", "policy, job = policy.contiguous(), np", "policy, job = policy, np"),
    cuda("input as it lies", "Operands(channels_last(x),", "Operands(x,"),
    cuda("common channels as they lie", "else channels_last(shared)", "else shared"),
    cuda("weight as it lies", "common, channels_last(conv.weight))", "common, conv.weight)"),
    # Workspace.
    cuda("list an entry short", "torch.empty(count,", "torch.empty(count - 1,"),
    cuda(
        "streams share layers and counts",
        "        self._numbers: dict[Hashable, int] = {}\n",
        '        self._numbers = globals().setdefault("all_numbers", {})\n'
        '        self.__dict__["counts"] = globals().setdefault("all_counts", Counts(launcher.device))\n',
    ),
    counts("counter not zeroed", "return counter.zero_()", "return counter"),
    counts("event never recorded", "self._event.record(torch.cuda.current_stream(self._device))", "pass"),
    counts(
        "event on the current device",
        "torch.cuda.current_stream(self._device)",
        "torch.cuda.current_stream()",
    ),
    counts("copied with a wait", "non_blocking=True", "non_blocking=False"),
    counts("copied at every layer", "if layer in self._pixels:", "if True:"),
    counts("copied while capturing", "if not is_capturing(self._device):", "if True:"),
    counts("copied over one on its way", "        if self._sent:\n            return\n", ""),
    counts("read before it arrives", "self._event is None or self._event.query()", "True"),
    counts(
        "asked for while capturing", "self._sent and not is_capturing(self._device) and", "self._sent and"
    ),
    counts(
        "forgets layers that did not run",
        "for number, pixels in self._sent.items():",
        "self._densities = [0.0] * 9\n            for number, pixels in self._sent.items():",
    ),
    cuda(
        "addition above the limit does nothing",
        "        else:\n            REFERENCE.add(",
        "        elif False:\n            REFERENCE.add(",
    ),
    # Lists of cells.
    cells(
        "grid of as many tiles as cells", "-(-output[:, 0].numel() // TILE)", "-(-len(listed.list) // TILE)"
    ),
    cells("lists never above a limit", "if fits and self._pays(cells.number, conv, output):", "if fits:"),
    cells("lists on what they do not fit", "fits = cells.side_bits(output) is not None and", "fits ="),
    cells("lists without skipped cells", "        if cells is not None:\n", "        if False:\n"),
    # The decision.
    decide(
        "the last of those that are largest",
        "logits[REUSE] > logits[SKIP] ?",
        "logits[REUSE] >= logits[SKIP] ?",
    ),
    decide("computes at a tie", "logits[COMPUTE] > logits[SKIP] &&", "logits[COMPUTE] >= logits[SKIP] &&"),
    decide("computes what only beats SKIP", " && logits[COMPUTE] > logits[REUSE]", ""),
    decide("this frame's part kept", "job.parts[6 * pixel + 3 + i]", "job.parts[6 * pixel + i]"),
    decide("nothing kept", "        *kept = to_float(job.parts[6 * pixel + 3 + i]);\n", ""),
    decide("no bias", " + to_float(job.bias[i])", ""),
    decide(
        "bias first",
        "to_float(job.parts[6 * pixel + i]) + *kept + to_float(job.bias[i])",
        "to_float(job.bias[i]) + *kept + to_float(job.parts[6 * pixel + i])",
    ),
    decide("new rows as others", "job.unknown && job.unknown[pixel / job.row_pixels]", "false"),
    decide("the first row's news", "job.unknown[pixel / job.row_pixels]", "job.unknown[0]"),
    decide(
        "nothing given", "return job.given ? job.given[pixel] : largest(logits);", "return largest(logits);"
    ),
    decide("skips again what was skipped", "policy == SKIP && job.policy[pixel] != SKIP", "policy == SKIP"),
    decide("policy forgotten", "        job.policy[pixel] = policy;\n", ""),
    # CuPy, device, stream.
    launch("one kernel a source, whatever the defines", "key = (source, *defines)", "key = (source,)"),
    launch("torch's default stream", "torch.cuda.current_stream(index)", "torch.cuda.default_stream(index)"),
    launch("no device", "with cupy.cuda.Device(index), cupy", "with cupy"),
    launch(
        "launched outside of the stream",
        "        with self._on_stream():\n            function(",
        "        if True:\n            function(",
    ),
    launch(
        "compute capability without its tens",
        "10 * properties.major + properties.minor",
        "properties.major + properties.minor",
    ),
    Mutant(
        "only a missing CuPy is said",
        f"{KERNELS}/__init__.py",
        "except Exception as error:",
        "except ImportError as error:",
        PYTHON,
    ),
)


def run(mutant: Mutant) -> tuple[str, float]:
    """Its fate, and seconds: the test that noticed it, or "survived"."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        tree = Path(folder)
        for name in COPIED:
            place = ROOT / name
            if place.is_dir():
                shutil.copytree(place, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(place, tree / name)
        target = tree / mutant.file
        target.write_text(mutant.changed(target.read_text()))
        files = [f"tests/sparse/test_cuda_{name}.py" for name in mutant.tests]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-o", "addopts=", "-p", "no:cacheprovider"]
        command += ["--tb=no", "-rf"]
        try:
            done = subprocess.run(
                [*command, *files],
                cwd=tree,
                env={**os.environ, "PYTHONPATH": folder},
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired:
            return f"no end after {PATIENCE} s", PATIENCE
    if done.returncode == 0:
        return "survived", time.monotonic() - started
    lines = done.stdout.splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))] or ["a crash"]
    noticed = failed[0].removeprefix("FAILED ").split(" - ")[0].removeprefix("tests/sparse/")
    return noticed, time.monotonic() - started


def chosen(parts: list[str]) -> Iterator[Mutant]:
    return (mutant for mutant in MUTANTS if not parts or any(part in mutant.name for part in parts))


def main() -> None:
    counts = {"killed": 0, "survived": 0, "equal": 0}
    print("| mistake | file | noticed by | s |\n| --- | --- | --- | ---: |")
    for mutant in chosen(sys.argv[1:]):
        fate, seconds = run(mutant)
        if fate == "survived" and mutant.equal:
            fate = f"equal: {mutant.equal}"
            counts["equal"] += 1
        else:
            counts["survived" if fate == "survived" else "killed"] += 1
        print(f"| {mutant.name} | {Path(mutant.file).name} | {fate} | {seconds:.0f} |", flush=True)
    total = counts["killed"] + counts["survived"]
    print(f"\n{total} mutants, {counts['killed']} killed; {counts['equal']} that nothing can notice")
    sys.exit(counts["survived"] > 0)


if __name__ == "__main__":
    main()
