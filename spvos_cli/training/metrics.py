"""The figures of a run, as it goes: metrics.jsonl, a curve to look at, and TensorBoard where it is wanted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spvos_cli.errors import InputError
from spvos_cli.files import atomic_path

CURVES = ("entropy", "dice", "iou", "iou0", "iou2", "regret", "distance", "density", "J&F-Mean", "box+3")


class Metrics:
    """Appends rows to FOLDER/metrics.jsonl.

    Args:
        folder: of the run.
        iteration: where the run stands; rows after it, of a run that was cut off, go.
        tensorboard: whether rows go to FOLDER/tensorboard as well.

    Raises:
        InputError: TensorBoard is wanted and not installed.
    """

    def __init__(self, folder: Path, iteration: int, *, tensorboard: bool = False) -> None:
        self.path = folder / "metrics.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        self._write([row for row in self.rows() if row["iteration"] <= iteration])
        self.board = _summary_writer(folder / "tensorboard") if tensorboard else None

    def rows(self) -> list[dict[str, float]]:
        """All rows so far; a last one that was cut off is left out."""
        lines = self.path.read_text().splitlines() if self.path.is_file() else []
        rows = []
        for line in lines:
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
        return rows

    def add(self, row: dict[str, float]) -> None:
        """Appends a row, which has an iteration."""
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        if self.board is None:
            return
        for name in row.keys() - {"iteration"}:
            self.board.add_scalar(name, row[name], int(row["iteration"]))

    def draw(self) -> Path | None:
        """Draws FOLDER/curve.png; None where there is nothing to draw, or Matplotlib is not installed."""
        try:
            from matplotlib.figure import Figure
        except ImportError:
            return None
        rows = self.rows()
        names = [name for name in CURVES if any(name in row for row in rows)]
        if not names:
            return None
        figure = Figure(figsize=(7, 2.2 * len(names)), layout="constrained")
        for axes, name in zip(figure.subplots(len(names), squeeze=False)[:, 0], names, strict=True):
            points = [(row["iteration"], row[name]) for row in rows if name in row]
            axes.plot(*zip(*points, strict=True), marker="." if len(points) < 20 else "")
            axes.set_ylabel(name)
            axes.grid(alpha=0.3)
        figure.savefig(self.path.with_name("curve.png"), dpi=110)
        return self.path.with_name("curve.png")

    def _write(self, rows: list[dict[str, float]]) -> None:
        with atomic_path(self.path) as part:
            part.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _summary_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        found = "TensorBoard is not installed"
        raise InputError(
            "--tensorboard", found=found, expected="the package tensorboard", fix="pip install tensorboard"
        ) from error
    return SummaryWriter(str(folder))
