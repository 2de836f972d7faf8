"""`eval --compare`: the paper's Table I for one's own weights and data."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from spvos_cli.benchmark.outcome import Outcome
from spvos_cli.evaluation.report.deliver import Outputs, check_scored
from spvos_cli.evaluation.report.page import Comparison
from spvos_cli.evaluation.report.results import density, summary
from spvos_cli.evaluation.report.table import REUSED
from spvos_cli.model.checkpoint import build_model
from spvos_cli.model.config import ModelConfig
from spvos_cli.profiling.cost import Video, mean_macs
from spvos_cli.ui import Reporter

HEADER = ("method", "J&F", "J", "F", "density", "10^9 MACs a frame", "fps")


def deliver_comparison(outcomes: Mapping[str, Outcome], outputs: Outputs, reporter: Reporter) -> None:
    """Prints methods side by side, or their summaries as JSON; a report shows the last one's details too.

    Args:
        outcomes: by method.

    Raises:
        InputError: as `Outputs.deliver`.
    """
    for outcome in outcomes.values():
        check_scored(outcome.evaluation)
    found = {name: comparison_summary(outcome) for name, outcome in outcomes.items()}
    comparison = Comparison(HEADER, [_cells(name, values) for name, values in found.items()])
    last = list(outcomes.values())[-1]
    for outcome in outcomes.values():
        kept = outputs._replace(csv=outcome.folder, report=outputs.report if outcome is last else None)
        kept.write(outcome.evaluation, outcome.pictures, outcome.shown_settings, reporter, comparison)
    if outputs.as_json:
        print(json.dumps(found))
    else:
        _print(last.evaluation.title, comparison)


def comparison_summary(outcome: Outcome) -> dict[str, Any]:
    """The summary, with "macs_g": 10^9 multiply-accumulates a frame by module, gates included, at the density
    that was measured."""
    runs = [run for run in outcome.evaluation.runs.values() if run.objects]
    measured = {letter: density(runs, letter) for letter in "QDM"}
    shares = {letter: share for letter, share in measured.items() if share is not None}
    fields = {field.name: outcome.settings[field.name] for field in dataclasses.fields(ModelConfig)}
    with torch.device("meta"):
        network = build_model(ModelConfig(**fields))
    macs = mean_macs(network, [Video(run.frames, run.objects, *run.size) for run in runs], shares)
    macs_g = {part: value / 1e9 for part, value in macs.items()}
    return {**summary(outcome.evaluation), "density_by_module": shares, "macs_g": macs_g}


def _cells(name: str, values: Mapping[str, Any]) -> list[str]:
    scores = [f"{100 * values[column]:.1f}" for column in ("J&F-Mean", "J-Mean", "F-Mean")]
    share = "dense" if values["density"] is None else f"{values['density']:.3f}"
    name = f"{name} *" if values["reused"] else name
    return [name, *scores, share, f"{values['macs_g']['total']:.2f}", f"{values['fps']:.2f}"]


def _print(title: str, comparison: Comparison) -> None:
    table = Table(box=None, header_style="bold", title=title, title_justify="left")
    for column in comparison.header:
        table.add_column(column, justify="right" if table.columns else "left")
    for row in comparison.rows:
        table.add_row(*row)
    console = Console(highlight=False)
    console.print(table)
    if any(row[0].endswith(" *") for row in comparison.rows):
        console.print(REUSED)
