"""`--report`: one page with everything that an evaluation found, which needs no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from spvos_cli.errors import InputError
from spvos_cli.evaluation.report.pictures import Picture
from spvos_cli.evaluation.report.results import Evaluation, density, frames_per_second, policy_shares, summary
from spvos_cli.evaluation.report.table import COLUMNS, REUSED, table_rows
from spvos_cli.evaluation.scores import Score, global_scores
from spvos_cli.files import atomic_path

CHART_WIDTH, CHART_HEIGHT = 520, 110  # of the plotted area, in units of the drawing


class Chart(NamedTuple):
    """One object over time.

    Attributes:
        name: sequence and object.
        columns: its official columns, in percent.
        j, f: points of the curves, as SVG has them.
        first, last: names of the first and the last frame that count.
        worst: where the lowest J&F is, in units of the drawing, and the name of its frame.
    """

    name: str
    columns: dict[str, float]
    j: str
    f: str
    first: str
    last: str
    worst: tuple[float, str]


class Comparison(NamedTuple):
    """Methods side by side: a row each, as text."""

    header: Sequence[str]
    rows: list[list[str]]


def write_page(
    path: Path,
    evaluation: Evaluation,
    pictures: list[Picture],
    settings: Mapping[str, Any],
    comparison: Comparison | None = None,
) -> None:
    """Writes the report.

    Args:
        settings: what the run was made with, by name.
        comparison: with other methods.

    Raises:
        InputError: it cannot be written.
    """
    runs = list(evaluation.runs.values())
    environment = Environment(
        loader=PackageLoader("spvos_cli.evaluation.report", ""), autoescape=True, undefined=StrictUndefined
    )
    *rows, total = table_rows(evaluation)
    text = environment.get_template("page.html").render(
        title=evaluation.title,
        summary=summary(evaluation),
        columns=COLUMNS,
        reused=REUSED,
        rows=rows,
        total=total,
        runs=evaluation.runs,
        speed=[
            (name, run, frames_per_second([run]), density([run])) for name, run in evaluation.runs.items()
        ],
        fps=frames_per_second(runs),
        policies=policy_shares(runs),
        charts=[chart(name, score) for name, score in evaluation.objects.items()],
        pictures=pictures,
        settings=settings,
        comparison=comparison,
        width=CHART_WIDTH,
        height=CHART_HEIGHT,
    )
    try:
        with atomic_path(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        found = f"cannot be written ({error.strerror})"
        raise InputError(
            path, found=found, expected="a file in a folder that exists", fix="--report FILE.html"
        ) from error


def chart(name: str, score: Score) -> Chart:
    """The curves of one object."""
    x = np.linspace(0, CHART_WIDTH, len(score.j)) if len(score.j) > 1 else np.array([CHART_WIDTH / 2])
    worst = int(np.argmin(score.j + score.f))
    columns = {column: 100 * value for column, value in global_scores([score]).items()}
    ends = score.frames[0], score.frames[-1]
    marked = float(x[worst]), score.frames[worst]
    return Chart(name, columns, _points(x, score.j), _points(x, score.f), *ends, marked)


def _points(x: np.ndarray, values: np.ndarray) -> str:
    return " ".join(f"{a:.1f},{CHART_HEIGHT * (1 - v):.1f}" for a, v in zip(x, values, strict=True))
