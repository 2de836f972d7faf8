"""Scores as a table for people and as a summary for programs."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from spvos_cli.evaluation.davis import Result
from spvos_cli.evaluation.scores import global_scores

COLUMNS = ("J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")


def summary(results: list[Result]) -> dict[str, Any]:
    """The official columns over all objects, as fractions; J&F of each sequence; fps of the segmenter."""
    columns = global_scores([score for result in results for score in result.scores.values()])
    sequences = {r.name: global_scores(list(r.scores.values()))["J&F-Mean"] for r in results}
    fps = sum(result.frames for result in results) / sum(result.seconds for result in results)
    return {**columns, "sequences": sequences, "fps": fps}


def print_table(results: list[Result]) -> None:
    """A row a sequence and one for all objects, in percent, on stdout."""
    table = Table(box=None, header_style="bold")
    table.add_column("sequence")
    for column in (*COLUMNS, "fps"):
        table.add_column(column, justify="right")
    for result in results:
        columns = global_scores(list(result.scores.values()))
        table.add_row(result.name, *_cells(columns), f"{result.frames / result.seconds:.1f}")
    total = summary(results)
    table.add_section()
    table.add_row("all objects", *_cells(total), f"{total['fps']:.1f}", style="bold")
    Console(highlight=False).print(table)


def _cells(columns: dict[str, float]) -> list[str]:
    return [f"{100 * columns[name]:.1f}" for name in COLUMNS]
