"""Pictures of figures, with Matplotlib where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spvos_cli.errors import InputError


def new_figure(option: str, size: tuple[float, float]) -> Any:
    """An empty figure of a size in inches.

    Raises:
        InputError: Matplotlib, which the option needs, is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        expected = "the package matplotlib"
        raise InputError(
            option, found="Matplotlib is not installed", expected=expected, fix="pip install matplotlib"
        ) from error
    return Figure(figsize=size, layout="constrained")


def save_figure(figure: Any, path: Path, option: str) -> None:
    """Writes it in the format of the file's suffix.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        expected = "a writable .png, .pdf or .svg"
        raise InputError(path, found=str(error), expected=expected, fix=f"{option} FILE") from error
