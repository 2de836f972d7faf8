"""Mistakes in the inline PTX, that a card must notice: each with sources of its own, in a process of its own,
for some of them leave a card unusable."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

import spvos_cli.sparse.kernels.cuda_launch as launch
from spvos_cli.resources import cuda_folder
from spvos_cli.sparse.conv import SparseConv2d
from spvos_cli.sparse.kernels.cuda import CUDAKernel
from spvos_cli.sparse.policy import COMPUTE
from tests.sparse.definition import folded, random_conv, random_policy
from tests.sparse.host_gpu import HostGPU
from tests.sparse.rounding import ARITHMETIC, LARGEST_ERROR, channels_last, relative_error, rounded_problem
from tools.card.steps import emit
from tools.cuda_mutants import MUTANTS, Mutant

SLOW = "Turing's halves on every card"  # right all the same


def check_sources(folder: str, rehearse: bool) -> None:
    """Ends with 1 where a small update in some type is wrong with the sources of a folder."""

    launch.cuda_folder = lambda: Path(folder)  # type: ignore[assignment]
    device = torch.device("cpu" if rehearse else "cuda")
    launcher = HostGPU(80).launcher if rehearse else launch.cupy_launcher(0)
    for seed, name in itertools.product(range(4), ("fp16", "bf16", "tf32")):
        conv = folded(random_conv(seed, (256, 64, 3, 1), norm=False, relu=False, bias=False)).to(device)
        x = torch.randn(1, 256, 9, 13, device=device)
        kernel = CUDAKernel(launcher, dense_above=1.0)
        if name == "tf32":
            error, bound = mean_error(kernel, conv, x), 1e-4
        else:
            problem = rounded_problem(conv, x, None, ARITHMETIC[name])
            error = relative_error(kernel, problem, random_policy(seed, (1, 9, 13), 0.7).to(device))
            bound = LARGEST_ERROR[problem.output.dtype]
        if not error <= bound:
            print(f"{name}: error {error:.2e}, {bound:.2e} allowed")
            sys.exit(1)


def mean_error(kernel: CUDAKernel, conv: SparseConv2d, x: torch.Tensor) -> float:
    """Of sums of positive terms, with operands as they are: truncated, they would be a thousandth too
    small."""
    conv.weight.abs_()
    x = channels_last(x.abs())
    expected = conv.double().dense(x.double())
    output = channels_last(torch.zeros_like(expected, dtype=torch.float32))
    kernel.update(conv.float(), x, None, torch.full_like(expected[:, 0], COMPUTE, dtype=torch.uint8), output)
    return abs(float((output.double() / expected - 1).mean()))


def run_mutants(rehearse: bool) -> None:
    """Mistakes in the inline PTX, each in a process of its own, and the sources as they are beside them."""
    file = "cuda/layer.cuh" if rehearse else "cuda/ptx.cuh"
    here = [m for m in MUTANTS if m.file == file and m.equal is None and m.name != SLOW]
    chosen: list[Mutant | None] = [None, *(here[1:2] if rehearse else here)]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1 if rehearse else 4) as pool:

        def run(number: int) -> tuple[str, bool, str]:
            mutant, place = chosen[number], Path(folder) / str(number)
            shutil.copytree(cuda_folder(), place)
            if mutant is not None:
                target = place / Path(mutant.file).name
                target.write_text(mutant.changed(target.read_text()))
            command = [sys.executable, "-m", "tools.card.mutants", str(place)]
            done = subprocess.run(
                [*command, *(["--rehearse"] if rehearse else [])], capture_output=True, text=True, timeout=100
            )
            said = (done.stdout + done.stderr).strip().splitlines()[-1:] or [""]
            return mutant.name if mutant else "none", done.returncode != 0, said[0]

        bad = 0
        for name, noticed, said in pool.map(run, range(len(chosen))):
            emit(mistake=name, noticed=noticed, by=said[:90])
            bad += noticed == (name == "none")
    sys.exit(bad > 0)


if __name__ == "__main__":
    check_sources(sys.argv[1], "--rehearse" in sys.argv)
