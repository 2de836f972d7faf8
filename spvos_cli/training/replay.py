"""What a run on recorded streams needs: the weights that it started from, as teacher, and the recordings."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from spvos_cli.data.collections import TrainingData
from spvos_cli.data.folders import Sequence
from spvos_cli.distributed import Processes
from spvos_cli.errors import InputError
from spvos_cli.model.checkpoint import load_checkpoint, save_weights
from spvos_cli.model.network import VOSNetwork
from spvos_cli.training.options import TrainOptions
from spvos_cli.training.recording import record
from spvos_cli.training.windows import Windows
from spvos_cli.ui import Reporter

START, RECORDED = "start.safetensors", "recorded"


def teacher_of(network: VOSNetwork, folder: Path, processes: Processes, *, resumed: bool) -> VOSNetwork:
    """The network as it was when the run began, run densely; kept in the run's folder.

    Raises:
        InputError: the network has other gates than the decoder's, or its start is not there any more.
    """
    if network.gated_parts != "D":
        found = f"gates in {network.gated_parts}" if network.gated_parts else "a network without gates"
        raise InputError("--recipe replay", found, "gates in the decoder alone", "--method triple --sparse D")
    if not resumed and processes.first:
        forget(folder)  # of a run that was killed before its first checkpoint
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(network, folder / START)
    processes.wait()
    return load_checkpoint(folder / START, {"method": "dense"})


def recorded_clips(
    data: TrainingData,
    options: TrainOptions,
    folder: Path,
    device: torch.device,
    processes: Processes,
    reporter: Reporter,
) -> Windows:
    """Clips of the training sequences' recordings, which are made where they are not there yet.

    Raises:
        InputError: a sequence cannot be streamed, or not in clips of the options' size.
    """
    network = load_checkpoint(folder / START, {"method": "dense"}).for_inference(device, torch.float32)
    here = slice(processes.rank, None, processes.world)
    jobs = [
        (folder / RECORDED / f"{number}-{i:05d}", sequence)
        for number, (_, sequences) in enumerate(data.collections)
        for i, sequence in enumerate(sequences)
    ]
    for _, sequence in jobs:
        check_video(sequence)
    for place, sequence in reporter.track(jobs[here], len(jobs[here]), "recording", "videos/s"):
        record(network, sequence, place)
    processes.wait()
    places = iter([place for place, _ in jobs])
    collections = [(weight, [next(places) for _ in sequences]) for weight, sequences in data.collections]
    length = options.iterations * options.batch_size
    return Windows(collections, options.frames, options.side, options.seed, length)


def check_video(sequence: Sequence) -> None:
    """
    Raises:
        InputError: it is a still.
    """
    if len(sequence.frames) < 2:
        expected, fix = "videos", "--dataset without stills, or --recipe lite"
        raise InputError(sequence.frames[0], "a still", expected, fix)


def forget(folder: Path) -> None:
    """Deletes a run's recordings, which are large."""
    shutil.rmtree(folder / RECORDED, ignore_errors=True)
