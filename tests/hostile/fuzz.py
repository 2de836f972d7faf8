"""`python -m tests.hostile.fuzz`: `spvos segment` on thousands of damaged files.

Each case runs in a process of its own with 10 s and 2 GiB of address space; the network is a stub, for it
never sees a damaged file. A case fails on a traceback, a crash, a hang, or an exit code other than 0 and 2.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import resource
import signal
import sys
import tempfile
import time
import types
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from tests.hostile.mutate import IMAGES, VIDEOS, damaged, write_bases

SECONDS, ADDRESS_SPACE = 10.0, 2 * 2**30


class Outcome(NamedTuple):
    """Attributes: code, the exit code, negative for a signal, None for a hang; errors, what stderr got."""

    code: int | None
    errors: str

    @property
    def failure(self) -> str:
        """What is wrong with it; empty where nothing is."""
        if self.code is None:
            return "hang"
        if self.code not in (0, 2):
            return f"code {self.code}"
        line = self.errors.splitlines()[-1] if self.errors else ""
        if "Traceback" in self.errors or (self.code == 2 and not line.startswith("spvos: ")):
            return "traceback"
        return ""


class StubSegmenter:
    """Keeps the last mask where it is."""

    def __init__(self) -> None:
        self.size, self.lines, self.objects, self.network = 480, 480, list[int](), None
        self.confidence: dict[int, float] = {}
        self.gate_stats = types.SimpleNamespace(computed=0, total=0, policies={})
        self._mask = np.zeros((1, 1), np.uint8)

    def step(self, frame: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        if mask is not None:
            self._mask, self.objects = mask, [int(i) for i in np.unique(mask) if i]
        return cv2.resize(self._mask, frame.shape[1::-1], interpolation=cv2.INTER_NEAREST)

    def can_resume(self, mask: np.ndarray | None = None) -> bool:
        return False


def arguments(case: int, seed: int, bases: dict[str, Path], folder: Path) -> list[str]:
    """Damages a file for a case; returns what `spvos` is called with."""
    rng = random.Random(f"{seed} {case}")
    suffix = (*VIDEOS, *IMAGES)[case % 6]
    file = folder / f"bad.{suffix}"
    file.write_bytes(damaged(bases[suffix], rng, in_payload=case // 6 % 2 == 0))
    outputs = ["-o", folder / "labels", "-o", folder / "overlay.mp4", "-o", folder / "records.jsonl"]
    if suffix in IMAGES and rng.random() < 0.7:
        return ["segment", str(bases["mp4"]), "--mask", str(file), *map(str, outputs)]
    return ["segment", str(file), "--mask", str(bases["mask"]), *map(str, outputs)]


def run_case(arguments: list[str], log: Path, main: object) -> Outcome:
    """In a forked process: everything is imported already."""
    pid = os.fork()
    if pid == 0:
        _child(arguments, log, main)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return Outcome(os.waitstatus_to_exitcode(status), log.read_text(errors="replace"))
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return Outcome(None, log.read_text(errors="replace"))


def _child(arguments: list[str], log: Path, main: object) -> None:
    code = 99
    try:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.argv = ["spvos", *arguments]
        main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def stub_network() -> object:
    """Puts the stub in the engine's place; returns the command line's main function."""
    machine = types.ModuleType("spvos_cli.inference.machine")  # imports PyTorch
    machine.use_threads = lambda count: None
    sys.modules[machine.__name__] = machine
    from spvos_cli.inference.engine import EngineOptions

    EngineOptions.segmenter = lambda options, reporter, network=None: StubSegmenter()
    EngineOptions.shaping = lambda options: {}
    import spvos_cli.segment.demo  # so that no case imports it again
    import spvos_cli.segment.pipeline

    spvos_cli.segment.pipeline.thread_count = lambda count, network: (
        contextlib.nullcontext()
    )  # imports PyTorch
    from spvos_cli.__main__ import main

    assert "torch" not in sys.modules
    return main


def run(cases: range, seed: int, keep: Path | None = None) -> tuple[Counter, list[str]]:
    """Counts of exit codes, and a line about each failure."""
    counts, failures, main = Counter(), [], stub_network()
    with tempfile.TemporaryDirectory() as base_folder:
        bases = write_bases(Path(base_folder))
        for case in cases:
            with tempfile.TemporaryDirectory() as folder:
                given = arguments(case, seed, bases, Path(folder))
                outcome = run_case(given, Path(folder) / "log", main)
                counts[outcome.code] += 1
                if outcome.failure:
                    last = outcome.errors.strip().splitlines()[-1:] or [""]
                    failures.append(f"case {case}, {Path(given[1]).name}: {outcome.failure}: {last[0]}")
                    _keep(keep, case, Path(folder), outcome)
    return counts, failures


def _keep(folder: Path | None, case: int, source: Path, outcome: Outcome) -> None:
    if folder is None:
        return
    folder.mkdir(exist_ok=True)
    (bad,) = source.glob("bad.*")
    (folder / f"{case}{bad.suffix}").write_bytes(bad.read_bytes())
    (folder / f"{case}.log").write_text(outcome.errors)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files that fail")
    options = parser.parse_args()
    cases = range(options.first, options.first + options.cases)
    counts, failures = run(cases, options.seed, options.keep)
    print("\n".join(failures))
    codes = ", ".join(f"{count} ended with {code}" for code, count in counts.items())
    print(f"{len(cases)} cases, seed {options.seed}: {codes}; {len(failures)} failures")
    sys.exit(bool(failures))


if __name__ == "__main__":
    _main()
