"""Datasets by name: where they are, and how much of each a training run sees."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from spvos_cli.data.folders import Sequence, davis_sequences, own_sequences, still_sequences
from spvos_cli.data.youtube import youtube_sequences
from spvos_cli.errors import InputError

SHARE_HELD_OUT = 0.3  # of the frames of one's own sequences, where none is named


class TrainingData(NamedTuple):
    """What a run learns from, and what it is scored on.

    Attributes:
        collections: sequences, with the weight of each collection.
        held_out: sequences that are not trained on; of one's own the first frame and the last ones of each.
        all_frames: whether the last frame of a held-out sequence is scored, which benchmarks leave out.
    """

    collections: list[tuple[float, list[Sequence]]]
    held_out: list[Sequence]
    all_frames: bool = False


def loaders(year: int) -> dict[str, Callable[[Path], list[Sequence]]]:
    """What reads the training split of each dataset that has a name."""
    return {
        "davis": lambda root: davis_sequences(root, year, "train"),
        "youtube-vos": youtube_sequences,
        "stills": still_sequences,
    }


def parse_datasets(text: str) -> list[tuple[str, float]]:
    """Names or folders with weights: "davis:3,stills:2", a weight being 1 where none is given.

    Raises:
        InputError: a name that is neither a dataset nor a folder, or a weight that is no positive number.
    """
    names, parsed = list(loaders(2016)), []
    for part in text.split(","):
        name, colon, weight = part.rpartition(":") if not Path(part).is_dir() else (part, "", "")
        name, weight = (name, weight) if colon else (part, "1")
        if name not in names and not Path(name).is_dir():
            expected = f"one of {', '.join(names)}, or a folder"
            raise InputError(
                f"--dataset {text}", found=f"{name!r}", expected=expected, fix="--dataset NAME:WEIGHT,..."
            )
        parsed.append((name, _weight(text, weight)))
    return parsed


def _weight(text: str, weight: str) -> float:
    try:
        share = float(weight)
    except ValueError:
        share = 0.0
    if not share > 0:
        found = f"the weight {weight!r}"
        raise InputError(
            f"--dataset {text}", found=found, expected="a positive number", fix="--dataset NAME:WEIGHT,..."
        )
    return share


def dataset_root(name: str, given: Path | None = None) -> Path:
    """The folder given, else $SPVOS_DATA/NAME, else ./data/NAME."""
    return given or Path(os.environ.get("SPVOS_DATA", "data")) / name


def training_data(
    datasets: str | None, roots: list[Path], held_out: tuple[str, ...], year: int = 2016
) -> TrainingData:
    """Reads datasets and sets aside what is held out.

    Args:
        datasets: as `parse_datasets` takes it; None: the folders are annotated frames of one's own.
        roots: a folder for each dataset, in the same order, or none where they are in their usual places.
        held_out: names of sequences. Where none of them is there and the data are one's own, the last frames
            of every sequence are held out.

    Raises:
        InputError: a dataset is not there or not whole, or folders and datasets do not match.
    """
    if datasets is None:
        return _own_data([sequence for root in roots for sequence in own_sequences(root)], held_out)
    parsed = parse_datasets(datasets)
    if len(roots) > len(parsed):
        found = f"{len(roots)} folders for {len(parsed)} datasets"
        raise InputError(
            "--data",
            found=found,
            expected="one for each dataset, in the order of --dataset",
            fix="--dataset davis,stills",
        )
    collections, kept = [], []
    for i, (name, weight) in enumerate(parsed):
        load = loaders(year).get(name)
        root = dataset_root(name, roots[i] if i < len(roots) else None) if load else Path(name)
        sequences = load(root) if load else own_sequences(root)
        collections.append((weight, [s for s in sequences if s.name not in held_out]))
        kept += [s for s in sequences if s.name in held_out]
    return TrainingData(collections, kept)


def _own_data(sequences: list[Sequence], held_out: tuple[str, ...]) -> TrainingData:
    kept = [s for s in sequences if s.name in held_out]
    if kept or not sequences:
        return TrainingData([(1.0, [s for s in sequences if s.name not in held_out])], kept)
    parts = [_parted(sequence) for sequence in sequences]
    return TrainingData(
        [(1.0, [trained for trained, _ in parts])], [kept for _, kept in parts], all_frames=True
    )


def _parted(sequence: Sequence) -> tuple[Sequence, Sequence]:
    """What is trained on, and the first frame with those that are not."""
    count = len(sequence.frames) - max(1, round(SHARE_HELD_OUT * len(sequence.frames)))
    if count < 2:
        found = f"{len(sequence.frames)} annotated frames"
        raise InputError(
            sequence.name, found=found, expected="at least three in a sequence", fix="--data FOLDER"
        )
    trained, rest = (
        sequence._replace(frames=sequence.frames[part], masks=sequence.masks[part])
        for part in (slice(count), slice(count, None))
    )
    first = trained.frames[:1], trained.masks[:1]
    return trained, rest._replace(frames=first[0] + rest.frames, masks=first[1] + rest.masks)
