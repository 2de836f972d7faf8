"""What a run on recorded streams needs: a teacher and the recordings."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from spvos_cli.data.clips import ATTEMPTS, ClipDataset
from spvos_cli.data.collections import TrainingData
from spvos_cli.data.folders import Sequence
from spvos_cli.distributed import Processes
from spvos_cli.errors import InputError
from spvos_cli.model.checkpoint import load_checkpoint, save_weights
from spvos_cli.model.config import ModelConfig
from spvos_cli.model.network import VOSNetwork
from spvos_cli.training.options import TrainOptions
from spvos_cli.training.recording import Moments, record
from spvos_cli.training.windows import Windows
from spvos_cli.ui import Reporter

START, TEACHER, RECORDED = "start.safetensors", "teacher.safetensors", "recorded"
MADE = 2 / 3  # share of the training clips that come from made clips, the rest from whole videos


class Source(NamedTuple):
    """Something to record: where its recording goes, its frames and masks, and the file to name if it has no
    object."""

    place: Path
    moments: Callable[[], Moments]
    file: Path


Collections = list[tuple[float, list[Source]]]  # with the weight of each


def teacher_of(
    network: VOSNetwork, given: Path | None, folder: Path, processes: Processes, *, resumed: bool
) -> VOSNetwork:
    """What says what the decoder shall say: the weights given, or the network as it was when the run began,
    run densely. Both are kept in the run's folder.

    Raises:
        InputError: the network has other gates than the decoder's, the weights are of another network, or the
            run's are not there any more.
    """
    if network.gated_parts != "D":
        found = f"gates in {network.gated_parts}" if network.gated_parts else "a network without gates"
        raise InputError("--recipe replay", found, "gates in the decoder alone", "--method triple --sparse D")
    if not resumed:
        teacher = load_checkpoint(given, {"method": "dense"}) if given else network
        if ungated(teacher.config) != ungated(network.config):
            expected = "weights of the network that is trained, but for gates"
            raise InputError(given, "weights of another network", expected, "--teacher FILE")
        if processes.first:
            forget(folder)  # of a run that was killed before its first checkpoint
            folder.mkdir(parents=True, exist_ok=True)
            save_weights(network, folder / START)
            save_weights(teacher, folder / TEACHER)
    processes.wait()
    return load_checkpoint(folder / TEACHER, {"method": "dense"})


def ungated(config: ModelConfig) -> ModelConfig:
    """The config without what tells about gates."""
    plain = ModelConfig()
    return dataclasses.replace(
        config, method="dense", structure=plain.structure, gate_all=plain.gate_all, strategy=plain.strategy
    )


def recorded_clips(
    data: TrainingData,
    made: ClipDataset,
    options: TrainOptions,
    folder: Path,
    device: torch.device,
    processes: Processes,
    reporter: Reporter,
) -> Windows:
    """Clips of recordings, which are made where they are not there yet, with the weights that the run began
    with: of the training videos, and of as many made clips as the options say.

    Args:
        made: clips as training from frames has them, two frames longer than the options'.

    Raises:
        InputError: nothing can be recorded, a video has no object, or it is shorter or smaller than a clip.
    """
    place = folder / RECORDED
    collections = [
        (weight, video_sources(found, place / str(number)))
        for number, (weight, found) in enumerate(data.collections)
    ]
    collections = with_clips(collections, clip_sources(made, options.recorded, place / "clips"))
    network = load_checkpoint(folder / START).for_inference(device, torch.float32)
    sources = [source for _, found in collections for source in found][processes.rank :: processes.world]
    for source in reporter.track(sources, len(sources), "recording", "streams/s"):
        record_source(network, source)
    processes.wait()
    places = [(weight, [source.place for source in found]) for weight, found in collections]
    length = options.iterations * options.batch_size
    return Windows(places, options.frames, options.side, options.seed, length)


def with_clips(videos: Collections, clips: list[Source]) -> Collections:
    """The clips as one more collection, and none that is empty.

    Raises:
        InputError: nothing is left.
    """
    videos = [(weight, sources) for weight, sources in videos if sources]
    if not clips and not videos:
        found, expected = "nothing but stills", "videos, or clips made of stills"
        raise InputError("--recipe replay", found, expected, "--recorded N")
    others = sum(weight for weight, _ in videos) or 1.0
    return [*videos, (MADE / (1 - MADE) * others, clips)] if clips else videos


def video_sources(sequences: list[Sequence], folder: Path) -> list[Source]:
    """The videos among a collection's sequences, numbered as those are."""
    return [
        Source(folder / f"{i:05d}", partial(sequence_moments, sequence), sequence.masks[0])
        for i, sequence in enumerate(sequences)
        if len(sequence.frames) > 1
    ]


def sequence_moments(sequence: Sequence) -> Moments:
    return ((sequence.read_frame(t), sequence.read_mask(t)) for t in range(len(sequence.frames)))


def clip_sources(made: ClipDataset, count: int, folder: Path) -> list[Source]:
    """So many made clips."""
    return [Source(folder / f"{i:06d}", partial(clip_moments, made, i), folder) for i in range(count)]


def clip_moments(made: ClipDataset, index: int) -> Moments:
    """A clip that shows an object; of the first ones that do not, another is tried."""
    for attempt in range(ATTEMPTS):
        clip = made[index + attempt * len(made)]
        if clip.objects:
            break
    return zip(clip.frames.permute(0, 2, 3, 1).numpy(), clip.ids.numpy(), strict=True)


def record_source(network: VOSNetwork, source: Source) -> None:
    """Makes a recording that is not there yet.

    Raises:
        InputError: it has no object to follow.
    """
    if source.place.is_dir():
        return
    try:
        record(network, source.moments(), source.place)
    except ValueError as error:
        expected = "a frame after the first one with an object"
        raise InputError(source.file, "none", expected, "--dataset NAME, or other data") from error


def forget(folder: Path) -> None:
    """Deletes a run's recordings, which are large."""
    shutil.rmtree(folder / RECORDED, ignore_errors=True)
