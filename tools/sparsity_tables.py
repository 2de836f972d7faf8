"""The paper's Tables I, III and V with the lite network, by short runs.

    python -m tools.sparsity_tables structures DAVIS OUT [--iterations 300]
    python -m tools.sparsity_tables temperatures DAVIS OUT
    python -m tools.sparsity_tables methods DAVIS OUT [--conv WEIGHTS] [--module WEIGHTS]

DAVIS is DAVIS-2016 in its standard layout; gates and the rest of the network learn from 25 of its training
sequences, from the lite weights on, and are scored on the five that are held out, on whole frames.
`structures` is Table III: which convolutions have gates, those of the decoder's residual branches (D), all of
the decoder (D+), or those and the one of the query encoder after its trunk (QD+); `temperatures` is Table V,
of the Gumbel softmax with its noise. OUT gets a folder for each run; what is there already is not trained
again.

`methods` is Table I: dense, static, residual and triple gates of the decoder's convolutions, as `structures`
left them in OUT or, of the triple ones, from trained weights; and the triple gate of a whole module. It is
timed, too, frames of 854x480 with one object, with nothing else running. "G" are 10^9 multiply-accumulates a
frame of the held-out sequences, gates counted, matching not.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from spvos_cli.benchmark.compare import comparison_summary
from spvos_cli.benchmark.datasets import find_benchmark
from spvos_cli.benchmark.evaluate import run_benchmark
from spvos_cli.benchmark.outcome import Task
from spvos_cli.data.folders import davis_sequences
from spvos_cli.data.training_sets import DAVIS_HELD_OUT
from spvos_cli.distributed import Processes
from spvos_cli.evaluation.protocol import ScoringProtocol
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.inference.machine import use_threads
from spvos_cli.ui import Reporter

METHODS = ("static", "residual", "triple")
STRUCTURES = {"D": ("--sparse=D",), "D+": ("--sparse=D", "--gate-all"), "QD+": ("--sparse=QD", "--gate-all")}
TEMPERATURES = (0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 100.0)
CLIPS = ("--recipe=lite", "--dataset=davis", "--frames=4", "--max-gap=4", "--batch-size=4")
LEARNING = ("--init=lite", "--learning-rate=1e-4", "--average=0.99", "--save-every=10000")
DTYPES = ("fp32", "bf16")
SCORES, GATED = ("J&F", "G"), ("density Q", "density D")
Row = tuple[str, ...]


def spvos(*arguments: str) -> str:
    """What a command prints."""
    print("$ spvos", *arguments, file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "spvos_cli", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def without_held_out(davis: Path, folder: Path) -> Path:
    """DAVIS without the five sequences, links and a list of the others: a run that held them out itself would
    score them before and after, beside what is scored here."""
    names = [s.name for s in davis_sequences(davis, 2016, "train") if s.name not in DAVIS_HELD_OUT]
    lists = folder / "ImageSets" / "2016"
    lists.mkdir(parents=True, exist_ok=True)
    (lists / "train.txt").write_text("".join(f"{name}\n" for name in names))
    for kind in ("JPEGImages", "Annotations"):
        if not (folder / kind).exists():
            (folder / kind).symlink_to((davis / kind).resolve())
    return folder


def trained(options: argparse.Namespace, name: str, *gates: str) -> Path:
    """The weights of a short run, which is made if it is not there."""
    out: Path = options.out / name
    weights = out / "weights.safetensors"
    if not weights.exists():
        data = without_held_out(options.davis, options.out / "davis")
        run = ("--held-out=none", f"--data={data}", f"--out={out}", f"--iterations={options.iterations}")
        spvos("train", *CLIPS, *LEARNING, *run, f"--threads={options.threads}", *gates)
    return weights


def scored(options: argparse.Namespace, weights: Path | str) -> Row:
    """J&F on the held-out sequences, operations, and the densities of query encoder and decoder."""
    benchmark = find_benchmark("davis", options.davis, split="train", only=",".join(DAVIS_HELD_OUT))
    engine = EngineOptions(weights=Path(weights), region="off", threads=options.threads)
    task = Task(benchmark, engine, ScoringProtocol(merge_objects=True), options.out / "scores")
    found = comparison_summary(run_benchmark(task, Processes(), Reporter(quiet=True)))
    densities = (found["density_by_module"].get(letter) for letter in "QD")
    shares = ("" if density is None else f"{density:.3f}" for density in densities)
    return f"{100 * found['J&F-Mean']:.1f}", f"{found['macs_g']['total']:.2f}", *shares


def structures(options: argparse.Namespace) -> list[Row]:
    """Table III."""
    rows: list[Row] = [("method", "gates in", *SCORES, *GATED)]
    rows.append(("dense", "", *scored(options, trained(options, "dense", "--method=dense"))))
    for method in METHODS:
        for structure, gates in STRUCTURES.items():
            weights = trained(options, method + structure, f"--method={method}", *gates)
            rows.append((method, structure, *scored(options, weights)))
            print(*rows[-1], file=sys.stderr)
    return rows


def temperatures(options: argparse.Namespace) -> list[Row]:
    """Table V."""
    rows: list[Row] = [("temperature", *SCORES, *GATED)]
    for tau in TEMPERATURES:
        gates = "--method=triple", "--sparse=D", f"--tau={tau:g}", "--noise=1"
        rows.append((f"{tau:g}", *scored(options, trained(options, f"tau{tau:g}", *gates))))
        print(*rows[-1], file=sys.stderr)
    return rows


def methods(options: argparse.Namespace) -> list[Row]:
    """Table I."""
    weights: dict[str, Path | str] = {"dense": "lite"}
    weights |= {m: trained(options, f"{m}D", f"--method={m}", "--sparse=D") for m in METHODS[:2]}
    weights |= {"triple, a gate for each convolution": options.conv, "triple, one for all": options.module}
    rows: list[Row] = [("method", *SCORES, *GATED, *(f"ms, {dtype}" for dtype in DTYPES))]
    for name, file in weights.items():
        scores = scored(options, file)
        density = [f"--density=D={scores[-1]}"] if scores[-1] else []
        times = []
        for dtype in DTYPES:
            timing = (f"--dtype={dtype}", "--cycles=10", f"--threads={options.threads}", *density)
            timed: dict[str, Any] = json.loads(
                spvos("profile", "--speed", f"--weights={file}", "--json", *timing)
            )
            times.append(f"{timed['speed']['ms_median']:.1f}")
        rows.append((name, *scores, *times))
    return rows


TABLES = {"structures": structures, "temperatures": temperatures, "methods": methods}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", choices=list(TABLES))
    parser.add_argument("davis", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--conv", default="lite-triple", help="weights of the fourth row of `methods`")
    parser.add_argument("--module", default="lite-module", help="of the fifth")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    use_threads(options.threads)
    header, *rows = TABLES[options.table](options)
    for row in (header, ("---",) * len(header), *rows):
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
