"""What an evaluation found, and its summary for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from spvos_cli.evaluation.pairs import SequenceScores
from spvos_cli.evaluation.scores import Score, global_scores
from spvos_cli.policy_names import shares_by_name


class SequenceRun(NamedTuple):
    """What it took to segment one sequence.

    Attributes:
        frames: segmented.
        seconds: in the network and around it, files not counted.
        computed, gated: multiply-accumulates of gated convolutions on sparse frames, done and in all, by the
            letters Q, D and M.
        layers: of each gated convolution that ran sparsely: pixels that were skipped, reused and computed,
            steps (objects times frames), and steps in which not all pixels were treated alike.
        size: width and height that the network saw, in pixels.
        objects: followed.
        reused: an earlier run did it, and these are its figures.
    """

    frames: int
    seconds: float
    computed: Mapping[str, int] = {}
    gated: Mapping[str, int] = {}
    layers: Mapping[str, Sequence[int]] = {}
    size: tuple[int, int] = (0, 0)
    objects: int = 0
    reused: bool = False

    def to_json(self) -> dict[str, Any]:
        """What is kept of it."""
        return {name: value for name, value in self._asdict().items() if name != "reused"}

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> SequenceRun:
        """What `to_json` gave and JSON kept.

        Raises:
            TypeError: it has other fields, or other types in them.
        """
        expected = {name: type(value) for name, value in SequenceRun(0, 0.0).to_json().items()}
        expected["size"] = list  # as JSON has tuples
        if {name: type(value) for name, value in stored.items()} != expected:
            raise TypeError("a record of another form")
        return SequenceRun(**{**stored, "size": tuple(stored["size"])})


class Evaluation(NamedTuple):
    """Attributes.

    title: what was scored, in words.
    protocol: which objects and frames count, in words.
    scored: sequence by sequence.
    complaints: about sequences without a counterpart.
    runs: what segmenting took, by sequence; empty where masks were only scored.
    groups: objects by a name of their group, as "seen" and "unseen" categories.
    """

    title: str
    protocol: str
    scored: list[SequenceScores]
    complaints: Sequence[str] = ()
    runs: Mapping[str, SequenceRun] = {}
    groups: Mapping[str, list[tuple[str, int]]] = {}

    @property
    def all_complaints(self) -> list[str]:
        """With those about single sequences, a line each."""
        return [*self.complaints, *(f"{s.name}: {text}" for s in self.scored for text in s.complaints)]

    @property
    def objects(self) -> dict[str, Score]:
        """All scores, by the official name of an object: sequence_id."""
        return {f"{s.name}_{i}": score for s in self.scored for i, score in s.objects.items()}


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """The official columns over all objects, as fractions; J&F of each sequence; the columns of each object;
    and of the run fps, density and shares of the policies, in all and by layer, None where there was none,
    and the sequences that an earlier run segmented."""
    objects, runs = evaluation.objects, list(evaluation.runs.values())
    return {
        **global_scores(list(objects.values())),
        "sequences": {
            s.name: global_scores(list(s.objects.values()))["J&F-Mean"]
            for s in evaluation.scored
            if s.objects
        },
        "objects": {name: global_scores([score]) for name, score in objects.items()},
        "frames": sum(run.frames for run in runs) or None,
        "fps": frames_per_second(runs),
        "reused": [name for name, run in evaluation.runs.items() if run.reused],
        "density": density(runs),
        "policies": policy_shares(runs),
        "layers": layer_shares(runs),
        **({"categories": by_group(evaluation)} if evaluation.groups else {}),
        "scored": evaluation.title,
        "protocol": evaluation.protocol,
        "complaints": evaluation.all_complaints,
    }


def frames_per_second(runs: Iterable[SequenceRun]) -> float | None:
    """Over all runs; None without any."""
    runs = list(runs)
    seconds = sum(run.seconds for run in runs)
    return sum(run.frames for run in runs) / seconds if seconds else None


def density(runs: Iterable[SequenceRun], letters: Iterable[str] = "QDM") -> float | None:
    """Share of multiply-accumulates done in gated convolutions on sparse frames; None where none ran
    sparsely."""
    runs, letters = list(runs), list(letters)
    gated = sum(run.gated.get(letter, 0) for run in runs for letter in letters)
    return sum(run.computed.get(letter, 0) for run in runs for letter in letters) / gated if gated else None


def policy_shares(runs: Iterable[SequenceRun]) -> dict[str, float] | None:
    """Of the pixels of gated convolutions on sparse frames; None where none ran sparsely."""
    pixels = np.sum([np.zeros(3), *(counts[:3] for counts in _layers(runs).values())], axis=0)
    return shares_by_name(pixels) if pixels.any() else None


def layer_shares(runs: Iterable[SequenceRun]) -> dict[str, dict[str, float]] | None:
    """Likewise for each gated convolution, and "varying": the share of steps in which its policy was not the
    same for all pixels."""
    return {
        name: shares_by_name(counts[:3]) | {"varying": float(counts[4] / counts[3])}
        for name, counts in _layers(runs).items()
    } or None


def _layers(runs: Iterable[SequenceRun]) -> dict[str, np.ndarray]:
    """The counts of `SequenceRun.layers`, summed."""
    layers: dict[str, np.ndarray] = {}
    for run in runs:
        for name, counts in run.layers.items():
            layers[name] = layers.get(name, 0) + np.array(counts)
    return layers


def by_group(evaluation: Evaluation) -> dict[str, float]:
    """YouTube-VOS's columns: J and F by group of categories, and the mean of them all."""
    columns: dict[str, float] = {}
    objects = evaluation.objects
    for group, names in evaluation.groups.items():
        scores = [objects[f"{name}_{i}"] for name, i in names if f"{name}_{i}" in objects]
        if scores:
            found = global_scores(scores)
            columns |= {f"J-{group}": found["J-Mean"], f"F-{group}": found["F-Mean"]}
    return {"Overall": float(np.mean(list(columns.values()))), **columns} if columns else {}
