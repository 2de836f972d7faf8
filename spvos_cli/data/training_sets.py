"""Datasets by name: where they are, how much of each a training run sees, and what is held out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from spvos_cli.data.folders import (
    VideoSequence,
    WeightedDataset,
    davis_sequences,
    own_sequences,
    still_sequences,
)
from spvos_cli.data.youtube import youtube_sequences
from spvos_cli.errors import InputError

SHARE_HELD_OUT = 0.3  # of the frames of one's own sequences, where none is named
DAVIS_HELD_OUT = ("breakdance-flare", "dog-agility", "drift-turn", "kite-walk", "soccerball")


class TrainingData(NamedTuple):
    """What a run learns from, and what it is scored on.

    Attributes:
        datasets: that it learns from.
        held_out: sequences that are not trained on; of one's own the first frame and the last ones of each.
        all_frames: whether the last frame of a held-out sequence is scored, which benchmarks leave out.
        merge_objects: whether all objects are scored as one, as DAVIS-2016 does.
    """

    datasets: list[WeightedDataset]
    held_out: list[VideoSequence]
    all_frames: bool = False
    merge_objects: bool = False

    def digest(self) -> str:
        """What tells these data from others: weights, names and lengths, wherever they lie."""
        datasets = [WeightedDataset(0.0, self.held_out), *self.datasets]
        parts = [[d.weight, [[s.name, [f.name for f in s.frames]] for s in d.sequences]] for d in datasets]
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def loaders(year: int) -> dict[str, Callable[[Path], list[VideoSequence]]]:
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
        parsed.append((name, _parse_weight(text, weight)))
    return parsed


def _parse_weight(text: str, weight: str) -> float:
    try:
        share = float(weight)
    except ValueError:
        share = 0.0
    if not 0 < share < float("inf"):
        found = f"the weight {weight!r}"
        raise InputError(
            f"--dataset {text}", found=found, expected="a positive number", fix="--dataset NAME:WEIGHT,..."
        )
    return share


def dataset_root(name: str, given: Path | None = None) -> Path:
    """The folder given, else $SPVOS_DATA/NAME, else ./data/NAME."""
    return given or Path(os.environ.get("SPVOS_DATA", "data")) / name


def training_data(
    datasets: str | None, roots: list[Path], held_out: tuple[str, ...] | None, year: int = 2016
) -> TrainingData:
    """Reads datasets and sets aside what is held out.

    Args:
        datasets: as `parse_datasets` takes it; None: the folders are annotated frames of one's own.
        roots: a folder for each dataset, in the same order, or none where they are in their usual places.
        held_out: names of sequences; None: of DAVIS `DAVIS_HELD_OUT`, and of one's own sequences the last
            frames of each.

    Raises:
        InputError: a dataset is not there or not whole, folders and datasets do not match, or a name is none
            of a sequence.
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
    read = []
    for i, (name, weight) in enumerate(parsed):
        load = loaders(year).get(name)
        root = dataset_root(name, roots[i] if i < len(roots) else None) if load else Path(name)
        read.append(WeightedDataset(weight, load(root) if load else own_sequences(root)))
    if held_out is None:
        held_out = DAVIS_HELD_OUT if "davis" in dict(parsed) else ()
    else:
        _check_names(held_out, [sequence for dataset in read for sequence in dataset.sequences])
    merged = year == 2016 and "davis" in dict(parsed)
    return _split(read, held_out)._replace(merge_objects=merged)


def _split(datasets: list[WeightedDataset], held_out: tuple[str, ...]) -> TrainingData:
    kept = [sequence for dataset in datasets for sequence in dataset.sequences if sequence.name in held_out]
    learned = [
        dataset._replace(sequences=[s for s in dataset.sequences if s.name not in held_out])
        for dataset in datasets
    ]
    if not all(dataset.sequences for dataset in learned):
        raise InputError(
            "--held-out",
            found=f"all {len(kept)} sequences of a dataset",
            expected="some that are left to learn from",
            fix="--held-out none, or fewer names",
        )
    return TrainingData(learned, kept)


def _check_names(held_out: tuple[str, ...], sequences: list[VideoSequence]) -> None:
    names = {sequence.name for sequence in sequences}
    for name in held_out:
        if name not in names:
            some = ", ".join(sorted(names)[:3])
            raise InputError(
                f"--held-out {name}",
                found="no sequence of that name",
                expected=f"names of the data ({some}, ...)",
                fix="--held-out NAME,..., or --held-out none",
            )


def _own_data(sequences: list[VideoSequence], held_out: tuple[str, ...] | None) -> TrainingData:
    if held_out is not None:
        _check_names(held_out, sequences)
        return _split([WeightedDataset(1.0, sequences)], held_out)
    parts = [_part(sequence) for sequence in sequences]
    learned = WeightedDataset(1.0, [trained for trained, _ in parts])
    return TrainingData([learned], [kept for _, kept in parts], all_frames=True)


def _part(sequence: VideoSequence) -> tuple[VideoSequence, VideoSequence]:
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
