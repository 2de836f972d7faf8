"""What an evaluation of a benchmark starts from, and what it ends with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from spvos_cli.benchmark.datasets import Benchmark
from spvos_cli.evaluation.protocol import ScoringProtocol
from spvos_cli.evaluation.report.pictures import Picture
from spvos_cli.evaluation.report.results import Evaluation
from spvos_cli.inference.engine import EngineOptions

GATES = ("structure", "strategy", "gate")
SHOWN = ("architecture", "method", *GATES, "size", "mem_every", "top_k", "device", "dtype")


class Task(NamedTuple):
    """What is asked for.

    Attributes:
        benchmark: what is segmented.
        engine: which network runs, and how.
        protocol: which objects and frames count.
        out: where masks are kept; see `RunFolder`.
        pictures: of worst frames, at most.
        fresh: sequences that an earlier run finished are run again.
    """

    benchmark: Benchmark
    engine: EngineOptions
    protocol: ScoringProtocol
    out: Path
    pictures: int = 0
    fresh: bool = False


class Outcome(NamedTuple):
    """What all processes found.

    Attributes:
        evaluation: without scores where there are no masks to score against.
        pictures: of the worst frames, as many as were asked for.
        settings: what the masks depend on.
        folder: where they are.
    """

    evaluation: Evaluation
    pictures: list[Picture]
    settings: dict[str, Any]
    folder: Path

    @property
    def shown_settings(self) -> dict[str, Any]:
        """What readers of a report want to know of them."""
        gated = self.settings["method"] != "dense"
        return {name: self.settings[name] for name in SHOWN if gated or name not in GATES}
