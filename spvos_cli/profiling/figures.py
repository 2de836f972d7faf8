"""`profile`: what a network costs and how fast it is here."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from spvos_cli import __version__
from spvos_cli.errors import InputError
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.inference.machine import choose_device, choose_dtype, cpu_name
from spvos_cli.model.checkpoint import build_model
from spvos_cli.model.network import VOSNetwork
from spvos_cli.policy_names import shares_by_name
from spvos_cli.processors import default_threads
from spvos_cli.profiling.arguments import read_video_list
from spvos_cli.profiling.cost import beside_macs, cycle_macs, layer_costs, mean_macs, parameter_size
from spvos_cli.profiling.layer_speed import layer_speeds
from spvos_cli.profiling.measure import densities, measured_clip, tally_policies
from spvos_cli.profiling.paper_tables import operation_cells, parameter_cells, xmem_operation_cells
from spvos_cli.profiling.patterns import draw_patterns
from spvos_cli.profiling.speed import Bench, Workload, interleaved, summarize
from spvos_cli.profiling.tune import tune as tune_card
from spvos_cli.profiling.variants import EAGER, has_trained_gates, profile_network, readout_of, variant
from spvos_cli.sparse.tally import PolicyTally


def profile(
    engine: EngineOptions,
    *,
    params: bool = True,
    flops: bool = True,
    layers: bool = False,
    speed: bool = False,
    paper: bool = False,
    compare: Sequence[str] = (),
    frame: tuple[int, int] = (854, 480),
    objects: int = 1,
    video_list: Path | None = None,
    density: Mapping[str, float] = {},
    video: Path | None = None,
    mask: Path | None = None,
    cycles: int = 5,
    patterns: Path | None = None,
    tune: bool = False,
    timed: bool = False,
) -> dict[str, Any]:
    """Counts and times a network.

    Args:
        engine: which network; without weights a random one.
        params, flops, layers, speed, paper: what to report.
        compare: with `speed`, two methods; "eager" is plain dense PyTorch.
        frame, objects: width and height of the frame that is counted or timed, in pixels, and how many
            objects are in it.
        video_list: CSV of videos to average operations over, instead of one memory cycle at `frame`.
        density: shares of pixels computed on sparse frames, by the letters Q, D and M, instead of what gates
            choose.
        video, mask: what trained gates decide about, to know the density; by default the demo clip.
        cycles: memory cycles that are timed.
        patterns: gets a picture of what trained gates decide, by layer and by position.
        timed: whether the video is also run as a whole (`profiling.runs`).
        tune: measure first which engine is faster on this GPU, and from which density on dense convolutions
            are, and keep it.

    Returns:
        As far as asked for: params, params_mib, params_only_mib, macs_g, beside_macs_g (matching, which
        macs_g leaves out, and gates, which it has in its modules where they are gates of convolutions),
        layers, speed, layer_speed, paper, tuned (as `tune` gives it); density by module and the policies'
        shares, where they were measured; environment.

    Raises:
        InputError: an option cannot be used.
    """
    (width, height), result, shares = frame, dict[str, Any](), dict(density)
    videos, network = read_video_list(video_list) if video_list else [], _shapes(engine)
    if patterns is not None and patterns.exists():
        raise InputError(
            patterns, found="it exists already", expected="a file that does not", fix="--patterns FILE"
        )
    decides = patterns is not None or (not shares and flops and has_trained_gates(engine))
    _check_effect(engine, compare, density, None if decides or timed else video)
    if decides:
        tally = tally_policies(engine.network(), *measured_clip(video, mask), engine.size)
        shares, result["policies"] = shares or densities(tally), policy_table(tally)
        if patterns is not None:
            draw_patterns(tally, patterns)
    if tune:
        result["tuned"] = tune_card(choose_device(engine.device))
    if params:
        result |= parameter_size(network)._asdict()
    if flops:
        one = (width, height, objects)
        macs = mean_macs(network, videos, shares) if videos else cycle_macs(network, *one, shares)
        result["macs_g"] = {part: value / 1e9 for part, value in macs.items()}
        if not videos:
            beside = beside_macs(network, *one, shares)
            result["beside_macs_g"] = {part: value / 1e9 for part, value in beside.items()}
    if layers:
        result["layers"] = layer_table(network, width, height, objects)
    if speed:
        workload = Workload(width, height, objects, density)
        result["speed"] = time_variants(engine, workload, compare, cycles)
        if layers:
            result["layer_speed"] = time_layers(engine, workload, cycles)
    if paper:
        cells = [*parameter_cells(), *operation_cells(), *xmem_operation_cells()]
        result["paper"] = [cell._asdict() for cell in cells]
    return {**result, "density": shares or None, "environment": environment(engine)}


def _check_effect(
    engine: EngineOptions, compare: Sequence[str], density: Mapping[str, float], unused: Path | None
) -> None:
    """Refuses what the network makes an option without effect of.

    Args:
        unused: a video that no gates decide about.
    """
    if unused is not None:
        found, expected = "the weights have no gates that decide", "weights with trained gates"
        raise InputError(f"--video {unused}", found=found, expected=expected, fix="--method triple")
    methods: list[str | None] = [name for name in compare if name != EAGER] or [engine.method]
    configs = [profile_network(dataclasses.replace(engine, method=name)).config for name in methods]
    parts = ("D" if c.gate == "module" else c.structure for c in configs if c.method != "dense")
    gated = "".join(sorted(set("".join(parts))))
    if unknown := [letter for letter in density if letter not in gated]:
        found = f"no gates in {', '.join(unknown)}"
        expected = f"modules with gates ({', '.join(gated) or 'none here'})"
        raise InputError("--density", found=found, expected=expected, fix="--method triple --sparse QDM")


def _shapes(engine: EngineOptions) -> VOSNetwork:
    config = profile_network(engine).config
    with torch.device("meta"):
        return build_model(config)


def layer_table(network: VOSNetwork, width: int, height: int, objects: int) -> list[dict[str, Any]]:
    """A row a convolution: name, part, 10^6 multiply-accumulates of one frame, and of its gate."""
    rows = layer_costs(network, width, height, objects)
    gates = [None if row.gate_macs is None else row.gate_macs / 1e6 for row in rows]
    return [
        {"name": row.name, "part": row.part, "macs_m": row.macs / 1e6, "gate_macs_m": gate}
        for row, gate in zip(rows, gates, strict=True)
    ]


def policy_table(tally: PolicyTally) -> dict[str, Any]:
    """The policies' shares of all pixels, and by layer with the share of frames on which they were not all
    one."""
    layers = []
    for name, layer in tally.layers.items():
        layers.append({"name": name, **shares_by_name(layer.pixels), "varying": layer.varying / layer.steps})
    return {"shares": tally.shares(), "layers": layers}


def time_layers(engine: EngineOptions, workload: Workload, cycles: int) -> list[dict[str, Any]]:
    """A row a convolution of the network as the options have it: `LayerSpeed`."""
    return [row._asdict() for row in layer_speeds(variant(engine, None), workload, cycles)]


def time_variants(
    engine: EngineOptions, workload: Workload, compare: Sequence[str], cycles: int
) -> dict[str, Any]:
    """Times one or two variants of the network in turn.

    Args:
        compare: methods, or "eager"; empty: the network as it is.
        cycles: `mem_every` cycles that are timed of each.
    """
    names, threads = list(compare) or [engine.method or "as it is"], engine.threads or default_threads()
    benches = {
        name: Bench(
            variant(engine, name if compare else None),
            workload,
            read_top_k=readout_of(name),
            threads=threads,
        )
        for name in names
    }
    timings = interleaved(benches, cycles)
    summaries = {name: summarize(timings[name]) for name in names}
    if len(names) == 2:
        first, second = (summaries[name]["ms_median"] for name in names)
        return {**summaries, "ratio": first / second}
    return summaries[names[0]]


def environment(engine: EngineOptions) -> dict[str, Any]:
    """Where the figures come from."""
    device = choose_device(engine.device)
    return {
        "spvos": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": cpu_name(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": engine.threads or default_threads(),
        "dtype": str(choose_dtype(engine.dtype, device)).removeprefix("torch."),
    }
