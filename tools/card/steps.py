"""Steps of a run: each a process of its own with a time limit, none needs the one before; tables last."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROW = "ROW "  # how a line of a step's output starts that is a row of its table, JSON behind it
BUSY = 4  # times a step's limit, for one that is rehearsed where others work
SKIPPED = 77  # exit status of a step that cannot be done here, and says why


class Step(NamedTuple):
    """A part of a run.

    Attributes:
        seconds: after which it is ended; what it has printed counts.
        function: does it; takes whether this is a rehearsal.
    """

    seconds: float
    function: Callable[[bool], None]


class Outcome(NamedTuple):
    """What became of a step."""

    name: str
    state: str
    seconds: float
    rows: list[dict[str, Any]]


def emit(**row: Any) -> None:
    """A row of the step's table, at once: a step that is ended later has it."""
    print(ROW + json.dumps(row), flush=True)


def skip(reason: str) -> None:
    """Ends the step."""
    print(reason, flush=True)
    sys.exit(SKIPPED)


def main(module: str, steps: Mapping[str, Step]) -> None:
    """The command line of a run: all of its steps, or those that are named; `--step` is how a process of its
    own is told what to do."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=", ".join(steps))
    parser.add_argument("names", nargs="*", metavar="STEP", help="only these")
    parser.add_argument("--rehearse", action="store_true", help="in small, on a CPU")
    parser.add_argument("--step", choices=list(steps), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        steps[options.step].function(options.rehearse)
        return
    if unknown := set(options.names) - set(steps):
        parser.error(f"no such step: {', '.join(sorted(unknown))}")
    out = Path(os.environ.get("OUT", "card"))
    out.mkdir(parents=True, exist_ok=True)
    name = module.rpartition(".")[2]
    with (out / f"{name}.log").open("w") as log:
        chosen = [step for step in steps if not options.names or step in options.names]
        longer = BUSY if options.rehearse else 1
        outcomes = [_run(module, s, longer * steps[s].seconds, options.rehearse, log) for s in chosen]
    text = "\n".join(_table(outcome) for outcome in outcomes) + "\n" + _summary(outcomes)
    (out / f"{name}.md").write_text(text)
    (out / f"{name}.json").write_text(json.dumps([outcome._asdict() for outcome in outcomes], indent=1))
    print(text)
    sys.exit(any(outcome.state not in ("done", "skipped") for outcome in outcomes))


def _run(module: str, name: str, seconds: float, rehearse: bool, log: Any) -> Outcome:
    command = [sys.executable, "-u", "-m", module, "--step", name, *(["--rehearse"] if rehearse else [])]
    started, rows = time.monotonic(), []
    print(f"== {name}, {seconds:.0f} s at most", flush=True)
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    timed_out = threading.Event()

    def end() -> None:
        timed_out.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(seconds, end)
    timer.start()
    assert process.stdout is not None
    for line in process.stdout:
        log.write(line)
        log.flush()
        if line.startswith(ROW):
            rows.append(json.loads(line[len(ROW) :]))
        else:
            print(line, end="", flush=True)
    status = process.wait()
    timer.cancel()
    state = {0: "done", SKIPPED: "skipped"}.get(status, f"failed ({status})")
    return Outcome(name, "out of time" if timed_out.is_set() else state, time.monotonic() - started, rows)


def _table(outcome: Outcome) -> str:
    """Markdown; columns in the order in which they first come."""
    if not outcome.rows:
        return ""
    columns = list(dict.fromkeys(name for row in outcome.rows for name in row))
    lines = [f"\n### {outcome.name}\n", "| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    lines += ["| " + " | ".join(_cell(row.get(name)) for name in columns) + " |" for row in outcome.rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _summary(outcomes: list[Outcome]) -> str:
    lines = ["\n### Steps\n", "| step | state | s |", "| --- | --- | --- |"]
    lines += [f"| {o.name} | {o.state} | {o.seconds:.0f} |" for o in outcomes]
    return "\n".join(lines) + "\n"
