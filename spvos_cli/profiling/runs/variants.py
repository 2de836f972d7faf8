"""What is timed in turn: the run that the options say, and others that differ from it in one thing each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from spvos_cli.inference.engine import EngineOptions
from spvos_cli.inference.machine import DTYPES, choose_device, choose_dtype
from spvos_cli.model.backends.engines import openvino_is_there

OBJECTS = (1, 2, 5)


class Variant(NamedTuple):
    """A run.

    Attributes:
        name: what it differs in from the first one.
        engine: whose dtype, engine and region are no "auto", where there is a choice.
        objects: into how many parts the mask's objects are cut.
    """

    name: str
    engine: EngineOptions
    objects: int


def variants_of(engine: EngineOptions, objects: int, vary: Iterable[str]) -> list[Variant]:
    """The run of the options, and for each thing in `vary` that run with each other value of it.

    Args:
        vary: of "objects", "dtype", "engine" and "region".
    """
    base, others = settled(engine), []
    device = choose_device(engine.device)
    values = {
        "dtype": ("fp32", "fp16" if device.type == "cuda" else "bf16"),
        "engine": ("torch", "openvino") if _has_engines(base) else (base.engine,),
        "region": ("off", "auto"),
    }
    for field in vary:
        if field == "objects":
            others += [Variant(f"objects {n}", base, n) for n in OBJECTS if n != objects]
            continue
        for value in values[field]:
            if value != getattr(base, field):
                change: dict[str, Any] = {field: value}
                others.append(Variant(f"{field} {value}", dataclasses.replace(base, **change), objects))
    return [Variant("as the options say", base, objects), *others]


def settled(engine: EngineOptions) -> EngineOptions:
    """The options with what "auto" stands for on this machine."""
    device = choose_device(engine.device)
    dtype = choose_dtype(engine.dtype, device)
    chosen: dict[str, Any] = {"dtype": next(name for name, each in DTYPES.items() if each == dtype)}
    if engine.engine == "auto":
        chosen["engine"] = "openvino" if _has_engines(engine) else "torch"
    return dataclasses.replace(engine, **chosen)


def _has_engines(engine: EngineOptions) -> bool:
    cpu = choose_device(engine.device).type == "cpu"
    return cpu and engine.model == "lite" and openvino_is_there()


def cut_mask(ids: np.ndarray, objects: int) -> np.ndarray:
    """All objects of a mask (H, W) as so many, one below the other and equal in area."""
    rows, columns = np.nonzero(ids)
    order = np.lexsort((columns, rows))
    result = np.zeros_like(ids, np.uint8)
    result[rows[order], columns[order]] = 1 + np.arange(len(order)) * objects // max(1, len(order))
    return result
