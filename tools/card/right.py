"""Whether the kernels are right on a card: tests, mistakes that only a card can notice, sanitizers, labels
against the CPU's, and where a frame's launches and waits come from."""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spvos_cli.data.demo_scene import scene
from spvos_cli.evaluation.measures import region_similarity
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.profiling.blobs import BlobPolicies
from spvos_cli.profiling.variants import variant
from spvos_cli.sparse.kernels.cuda_launch import Launcher, Program
from tests.sparse.host_waits import host_waits
from tools.card.mutants import run_mutants
from tools.card.steps import Step, emit, main, skip

TESTS = "tests/sparse/test_cuda_card.py"
MODULE_DENSITY = {"D": 0.3}
MEM_EVERY = 5  # whatever the weights say: the fourth frame is sparse
PYTEST = (sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "-p", "no:cacheprovider", "--color=no")


def device_of(rehearse: bool) -> str:
    return "cpu" if rehearse else "cuda"


def describe(rehearse: bool) -> None:
    """The machine, and what is installed on it."""
    emit(what="python", version=sys.version.split()[0])
    emit(what="torch", version=torch.__version__)
    if rehearse:
        return
    emit(what="card", version=torch.cuda.get_device_name())
    emit(what="cuda", version=str(torch.version.cuda))
    import cupy
    from cupy_backends.cuda.libs import nvrtc

    emit(what="cupy", version=cupy.__version__)
    emit(what="nvrtc", version=".".join(map(str, nvrtc.getVersion())))
    query = ["nvidia-smi", "--query-gpu=name,driver_version,clocks.sm,memory.total", "--format=csv,noheader"]
    emit(what="nvidia-smi", version=subprocess.run(query, capture_output=True, text=True).stdout.strip())


def run_tests(rehearse: bool) -> None:
    """All that need a card."""
    environment = {**os.environ, "SPVOS_REHEARSE": "1"} if rehearse else dict(os.environ)
    chosen = ["-k", "small or card_is"] if rehearse else []
    done = subprocess.run(
        [*PYTEST, "-rA", "--durations=8", *chosen, TESTS], env=environment, text=True, capture_output=True
    )
    print(done.stdout[-8000:], done.stderr[-2000:])
    for line in done.stdout.splitlines():
        state, _, test = line.partition(" ")
        if state in ("PASSED", "FAILED", "ERROR"):
            emit(test=test.rpartition("::")[2], state=state.lower())
    sys.exit(done.returncode)


def sanitize(tool: str, tests: str) -> Any:
    """Small tests, chosen as pytest's -k does, under a tool of compute-sanitizer."""

    def run(rehearse: bool) -> None:
        found = shutil.which("compute-sanitizer")
        if rehearse or found is None:
            skip("no compute-sanitizer here")
        command = [
            str(found),
            "--tool",
            tool,
            "--error-exitcode",
            "9",
            *PYTEST,
            "-k",
            tests,
            TESTS,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        print(done.stdout[-4000:], done.stderr[-1000:])
        for line in done.stdout.splitlines():
            if "ERROR SUMMARY" in line or "RACECHECK SUMMARY" in line:
                emit(tool=tool, says=line.strip("= "))
        sys.exit(done.returncode)

    return run


def segmenter_for(gates: str, device: str, dtype: str) -> VideoSegmenter:
    """Of whole frames: dense, with the gates that ship, or with one for a module that is made to choose this
    and that, as none ships."""
    options = EngineOptions(model="lite", method="dense" if gates == "dense" else "triple", device=device)
    options = dataclasses.replace(options, dtype=dtype)
    if gates != "module":
        return VideoSegmenter(options.network(), region=False, mem_every=MEM_EVERY)
    network = variant(dataclasses.replace(options, gate="module"), None)
    policies = BlobPolicies(network, MODULE_DENSITY)
    return VideoSegmenter(network, region=False, mem_every=MEM_EVERY, inject=policies)


def compare_labels(rehearse: bool) -> None:
    """The demo clip's label maps, against those of the CPU in float32 and against the truth."""
    clip = list(itertools.islice(scene(), 3 if rehearse else 48))
    types = ("fp32",) if rehearse else ("fp32", "fp16", "bf16")
    for gates in ("dense", "triple", "module"):

        def labels(device: str, dtype: str, gates: str = gates) -> list[np.ndarray]:
            segmenter = segmenter_for(gates, device, dtype)
            return [segmenter.step(image, ids if t == 0 else None) for t, (image, ids) in enumerate(clip)]

        expected = labels("cpu", "fp32")
        for dtype in types:
            found = labels(device_of(rehearse), dtype)
            same = float(np.mean([np.mean(a == b) for a, b in zip(found, expected, strict=True)]))
            truth = [
                region_similarity(f == i, ids == i)
                for f, (_, ids) in zip(found, clip, strict=True)
                for i in (1, 2)
            ]
            emit(gates=gates, dtype=dtype, same_as_cpu=round(same, 6), J=float(np.mean(truth)))
            if same < (0.9999 if dtype == "fp32" else 0.99):
                print(f"{gates} {dtype}: only {same:.4%} of the pixels as on the CPU")


def look_at_frames(rehearse: bool) -> None:
    """A sparse frame with gates of convolutions, and one with a module's."""
    for gates in ("triple", "module"):
        look_at_a_frame(gates, rehearse)


def look_at_a_frame(gates: str, rehearse: bool) -> None:
    """Launches of our kernels by source, all kernels, and waits by line, of one sparse frame."""
    segmenter = segmenter_for(gates, device_of(rehearse), "fp32" if rehearse else "fp16")
    clip = list(itertools.islice(scene(), 4))
    for t, (image, ids) in enumerate(clip[:3]):
        segmenter.step(image, ids if t == 0 else None)
    started: Counter[str] = Counter()
    original = Launcher.start

    def noted(self: Launcher, program: Program, *arguments: Any) -> None:
        started[program.source] += 1
        original(self, program, *arguments)

    Launcher.start = noted
    if rehearse:
        with host_waits() as seen:
            segmenter.step(clip[3][0])
        places = Counter(place for _, place in seen.waits)
        kernels = 0
    else:
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            segmenter.step(clip[3][0])
        torch.cuda.set_sync_debug_mode("default")
        places = Counter(f"{Path(w.filename).name}:{w.lineno}" for w in caught)
        activities = [torch.profiler.ProfilerActivity.CUDA, torch.profiler.ProfilerActivity.CPU]
        with torch.profiler.profile(activities=activities) as profiler:
            segmenter.step(clip[3][0])
            torch.cuda.synchronize()
        kernels = sum(event.device_type == torch.autograd.DeviceType.CUDA for event in profiler.events())
    Launcher.start = original  # type: ignore[method-assign]
    for source, count in started.items():
        emit(gates=gates, what=f"launches of {source}", count=count)
    emit(gates=gates, what="kernels and copies in all", count=kernels)
    for place, count in places.items():
        emit(gates=gates, what=f"waits at {place}", count=count)
    if not rehearse and torch.cuda.get_device_capability() >= (7, 5) and not started["mma.cu"]:
        print("mma.cu was not started")
        sys.exit(1)


STEPS = {
    "machine": Step(30, describe),
    "tests": Step(150, run_tests),
    "mutants": Step(80, run_mutants),
    "labels": Step(90, compare_labels),
    "frames": Step(60, look_at_frames),
    "memcheck": Step(60, sanitize("memcheck", "small and update")),
    "racecheck": Step(120, sanitize("racecheck", "update_of_cells_small and (fp16 or fp32)")),
}

if __name__ == "__main__":
    main("tools.card.right", STEPS)
