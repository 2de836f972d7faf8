"""Shows what ten annotated frames of a video are worth, given as masks or learned from: the table of
docs/experiments.md, `python -m tools.fine_tuning DAVIS OUT [WEIGHTS]`, some ten minutes.

For each of the five sequences of DAVIS train that were not trained on, ten frames, evenly spaced, are written
to OUT as a user would (images/NAME, masks/NAME), and `spvos train --init WEIGHTS --data OUT/NAME --held-out
none` learns from them. The sequence is then followed with the weights before and after, given the first mask
or all ten. Scored are the frames that nobody annotated.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from spvos_cli import VideoSegmenter, load_model
from spvos_cli.data.folders import VideoSequence, davis_sequences
from spvos_cli.data.training_sets import DAVIS_HELD_OUT
from spvos_cli.evaluation.measures import similarity_and_accuracy
from tools.failures import follow

ANNOTATED = 10


def main(davis: Path, out: Path, *weights: Path) -> None:
    sequences = {sequence.name: sequence for sequence in davis_sequences(davis, 2016, "train")}
    init = weights[0] if weights else Path("weights/lite.safetensors")
    print("| sequence | frames | one mask | ten masks | learned, one mask | learned, ten masks | seconds |")
    print("|---|---|---|---|---|---|---|")
    rows = []
    for name in DAVIS_HELD_OUT:
        sequence = sequences[name]
        chosen = np.linspace(0, len(sequence.frames) - 1, ANNOTATED).round().astype(int).tolist()
        annotate(sequence, chosen, out / name)
        begin = time.perf_counter()
        train(out / name, init)
        seconds = time.perf_counter() - begin
        tuned = out / name / "run" / "weights.safetensors"
        scores = [
            score(sequence, chosen, given, file) for file in (init, tuned) for given in (chosen[:1], chosen)
        ]
        rows.append(scores)
        cells = " | ".join(f"{value:.1f}" for value in scores)
        print(f"| {name} | {len(sequence.frames)} | {cells} | {seconds:.0f} |", flush=True)
    print("| mean | | " + " | ".join(f"{mean:.1f}" for mean in np.mean(rows, axis=0)) + " | |")


def annotate(sequence: VideoSequence, chosen: list[int], folder: Path) -> None:
    """Copies frames with their masks, in the layout that `spvos train --data` takes."""
    for kind, files in (("images", sequence.frames), ("masks", sequence.masks)):
        target = folder / kind / sequence.name
        target.mkdir(parents=True, exist_ok=True)
        for t in chosen:
            shutil.copy(files[t], target / files[t].name)


def train(folder: Path, init: Path) -> None:
    """The command that the README names for frames of one's own."""
    options = ["--init", init, "--data", folder, "--held-out", "none", "--out", folder / "run"]
    subprocess.run(
        [sys.executable, "-m", "spvos_cli", "train", *map(str, options)],
        check=True,
        stderr=subprocess.DEVNULL,
    )


def score(sequence: VideoSequence, annotated: list[int], given: list[int], weights: Path) -> float:
    """J&F in per cent over the frames that are not annotated, the masks of `given` being known."""
    network = load_model(weights=weights)
    clip = [(sequence.read_frame(t), sequence.read_mask(t)) for t in range(len(sequence.frames))]
    found = follow(VideoSegmenter(network), clip, dict.fromkeys(given, (1,)))
    pairs = [(found[t], ids == 1) for t, (_, ids) in enumerate(clip) if t not in annotated]
    return 50 * float(np.mean([sum(similarity_and_accuracy(*pair)) for pair in pairs]))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
