"""Scores as a table for people, and as the official tool's two CSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from spvos_cli.errors import InputError
from spvos_cli.evaluation.report.results import Evaluation, SequenceRun, by_group, frames_per_second, summary
from spvos_cli.evaluation.scores import global_scores

COLUMNS = ("J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
WIDE = 160  # columns of text, where no terminal limits them
REUSED = "* finished by an earlier run, whose speed this is; --fresh runs it again"
GLOBAL, PER_SEQUENCE = "global_results-{}.csv", "per-sequence_results-{}.csv"


def print_table(evaluation: Evaluation) -> None:
    """A row a sequence and one for all objects, in percent, on stdout."""
    title = f"{evaluation.title}: {evaluation.protocol}"
    table = Table(box=None, header_style="bold", title=title, title_justify="left")
    table.add_column("sequence")
    for column in (*COLUMNS, *(["fps"] if evaluation.runs else [])):
        table.add_column(column, justify="right")
    *rows, total = table_rows(evaluation)
    for row in rows:
        table.add_row(*row)
    table.add_section()
    table.add_row(*total, style="bold")
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    console.print(table)
    if any(run.reused for run in evaluation.runs.values()):
        console.print(REUSED)
    if groups := by_group(evaluation):
        console.print(", ".join(f"{name} {100 * value:.1f}" for name, value in groups.items()))


def table_rows(evaluation: Evaluation) -> list[list[str]]:
    """Cells: the sequence, the official columns in percent, and fps where there was a run; the last row is
    over all objects. A star marks what an earlier run finished."""
    rows = []
    for scored in evaluation.scored:
        run = evaluation.runs.get(scored.name)
        if scored.objects:
            columns = global_scores(list(scored.objects.values()))
            name = f"{scored.name} *" if run and run.reused else scored.name
            rows.append([name, *_cells(columns), *_pace([run] if run else [])])
    total = global_scores(list(evaluation.objects.values()))
    return [*rows, ["all objects", *_cells(total), *_pace(evaluation.runs.values())]]


def csv_files(folder: Path, split: str) -> tuple[Path, Path]:
    """Where the two official files go."""
    return folder / GLOBAL.format(split), folder / PER_SEQUENCE.format(split)


def write_csv(evaluation: Evaluation, folder: Path, split: str) -> None:
    """The global and the per-object table, as the official tool names and rounds them.

    Raises:
        InputError: they cannot be written.
    """
    columns = summary(evaluation)
    objects = [[name, values["J-Mean"], values["F-Mean"]] for name, values in columns["objects"].items()]
    tables = [(COLUMNS, [[columns[name] for name in COLUMNS]]), (("Sequence", "J-Mean", "F-Mean"), objects)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, (header, rows) in zip(csv_files(folder, split), tables, strict=True):
            _write(path, header, rows)
    except OSError as error:
        found = f"cannot be written ({error.strerror})"
        raise InputError(
            folder, found=found, expected="a folder that you may write to", fix="--csv DIR"
        ) from error


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str | float]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([f"{cell:.3f}" if isinstance(cell, float) else cell for cell in row] for row in rows)


def _cells(columns: dict[str, float]) -> list[str]:
    return [f"{100 * columns[name]:.1f}" for name in COLUMNS]


def _pace(runs: Iterable[SequenceRun]) -> list[str]:
    fps = frames_per_second(runs)
    return [] if fps is None else [f"{fps:.1f}"]
