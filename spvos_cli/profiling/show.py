"""What `spvos profile` found, as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from spvos_cli.policy_names import NAMES
from spvos_cli.profiling.speed import MODULES


def show(result: Mapping[str, Any]) -> None:
    """Prints a table for each thing that was asked for, on stdout."""
    console = Console(highlight=False)
    if "params" in result:
        console.print(f"parameters: {result['params']:,}, {result['params_only_mib']:.2f} MiB in float32")
        console.print(f"with batch normalisation's statistics: {result['params_mib']:.2f} MiB")
    if "tuned" in result:
        for dtype, times in result["tuned"]["engines"].items():
            row = ", ".join(f"{engine} {ms:.2f} ms a frame" for engine, ms in times.items())
            console.print(f"{dtype}: {row}")
        console.print(f"measured on this GPU: {', '.join(result['tuned']['files'])}")
    if "macs_g" in result:
        console.print(
            _grid("10^9 multiply-accumulates a frame", ["module", "G"], _operations(result["macs_g"]))
        )
    if "beside_macs_g" in result:
        title = "beside the paper's columns, likewise"
        console.print(_grid(title, ["", "G"], _operations(result["beside_macs_g"])))
    if "layers" in result:
        console.print(
            _grid("10^6 multiply-accumulates of a frame", ["layer", "convolution", "gate"], _layers(result))
        )
    if "policies" in result:
        columns = ["layer", *NAMES, "varying"]
        console.print(_grid("policies on sparse frames, percent", columns, _policies(result["policies"])))
    if "runs" in result.get("speed", ()):
        for run in result["speed"]["runs"]:
            columns = ["thread and stage", "median", "p95", "processor"]
            console.print(_grid(f"{run['name']}: {_pace(run)}", columns, _stages(run["stages"])))
    elif "speed" in result:
        console.print(
            _grid("milliseconds a frame", ["", "median", "p95", "sparse", "fps", *MODULES], _speed(result))
        )
        if "ratio" in result["speed"]:
            console.print(f"ratio: {result['speed']['ratio']:.2f}")
    if "growth" in result:
        rows = [
            [name.replace("_", " "), str(x), f"{ms:.1f}"]
            for name, curve in result["growth"].items()
            for x, ms in curve
        ]
        console.print(_grid("milliseconds a frame in the network alone", ["", "", "ms"], rows))
    if "layer_speed" in result:
        columns = ["layer", "dense ms", "sparse ms", "kernel ms", "computed", "GFLOP/s", "of peak"]
        console.print(_grid("convolutions", columns, _layer_speed(result["layer_speed"])))
    if "paper" in result:
        rows = [
            [c["table"], c["name"], f"{c['paper']:.2f}", f"{c['ours']:.2f}", c["unit"]]
            for c in result["paper"]
        ]
        console.print(_grid("the paper's tables", ["table", "of", "paper", "ours", "unit"], rows))
    console.print(", ".join(f"{name} {value}" for name, value in result["environment"].items()), style="dim")


def _pace(run: Mapping[str, Any]) -> str:
    end, alone = run["end_to_end"], run["network"]
    return (
        f"{end['fps']:.1f} frames a second from end to end, {end['ms_median']:.1f} ms a frame (p95"
        f" {end['ms_p95']:.1f}), {end['cpu_ms']:.1f} ms of processors; the network alone"
        f" {alone['ms_median']:.1f} ms (p95 {alone['ms_p95']:.1f})"
    )


def _stages(stages: list[Mapping[str, Any]]) -> list[list[str]]:
    return [
        [f"{s['thread']}: {s['stage']}", *(f"{s[key]:.2f}" for key in ("ms_median", "ms_p95", "cpu_ms"))]
        for s in stages
    ]


def _grid(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    table = Table(box=None, header_style="bold", title=title, title_justify="left", title_style="bold")
    table.min_width = min(len(title), 76)  # a narrow table would break its title
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _operations(macs: Mapping[str, float]) -> list[list[str]]:
    return [[part.replace("_", " "), f"{value:.2f}"] for part, value in macs.items()]


def _layers(result: Mapping[str, Any]) -> list[list[str]]:
    rows = result["layers"]
    gates = ["" if row["gate_macs_m"] is None else f"{row['gate_macs_m']:.1f}" for row in rows]
    return [[row["name"], f"{row['macs_m']:.1f}", gate] for row, gate in zip(rows, gates, strict=True)]


def _policies(policies: Mapping[str, Any]) -> list[list[str]]:
    rows = [
        [row["name"], *(f"{100 * row[n]:.1f}" for n in (*NAMES, "varying"))] for row in policies["layers"]
    ]
    return [*rows, ["all", *(f"{100 * policies['shares'].get(name, 0):.1f}" for name in NAMES), ""]]


def _layer_speed(rows: list[Mapping[str, Any]]) -> list[list[str]]:
    def text(value: float | None, digits: int) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    return [
        [
            row["name"],
            *(text(row[column], 2) for column in ("dense_ms", "sparse_ms", "kernel_ms")),
            text(row["computed"], 3),
            text(row["gflops"], 0),
            f"{100 * row['of_peak']:.0f} %",
        ]
        for row in rows
    ]


def _speed(result: Mapping[str, Any]) -> list[list[str]]:
    found = result["speed"]
    variants = {"": found} if "ms_median" in found else {n: v for n, v in found.items() if n != "ratio"}
    rows = []
    for name, v in variants.items():
        sparse = "" if v["ms_sparse_frame"] is None else f"{v['ms_sparse_frame']:.1f}"
        modules = [f"{v['ms_modules'][module]:.1f}" for module in MODULES]
        rows.append(
            [name, f"{v['ms_median']:.1f}", f"{v['ms_p95']:.1f}", sparse, f"{v['fps']:.2f}", *modules]
        )
    return rows
