"""A picture of where the time of a frame goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spvos_cli.profiling.drawing import new_figure, save_figure


def draw_stages(runs: list[dict[str, Any]], path: Path) -> None:
    """A bar for each run and thread, of its stages' medians.

    Args:
        runs: as `time_video` gives them.

    Raises:
        InputError: Matplotlib is not installed, or the file cannot be written.
    """
    bars = [(run, thread) for run in runs for thread in dict.fromkeys(s["thread"] for s in run["stages"])]
    figure = new_figure("--plot", (10, 2.5 + 0.35 * len(bars)))
    axes, stages = figure.subplots(), dict.fromkeys(s["stage"] for run in runs for s in run["stages"])
    left = [0.0] * len(bars)
    for number, stage in enumerate(stages):
        widths = [
            sum(s["ms_median"] for s in run["stages"] if (s["thread"], s["stage"]) == (thread, stage))
            for run, thread in bars
        ]
        # twenty colours, then the same with stripes
        style = {"color": f"C{number % 10}", "hatch": "////" if number >= 10 else None, "edgecolor": "white"}
        axes.barh(range(len(bars)), widths, left=left, label=stage, **style)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(bars)), [f"{run['name']}: {thread}" for run, thread in bars])
    axes.invert_yaxis()
    axes.set_xlabel("ms a frame, medians")
    figure.legend(loc="outside lower center", ncols=6, frameon=False, fontsize=8)
    save_figure(figure, path, "--plot")
