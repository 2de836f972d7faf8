"""What a first mask is worth: J&F of whole videos from boxes and clicks on their first frames, and from true
masks.

    python -m tools.first_masks DAVIS LIST OUT [START ...]

DAVIS is DAVIS-2016 in its standard layout, LIST one of its lists (train, val), OUT a folder for the masks
that were made. START is box, a number of clicks on the box's mask such as 3, or true; by default box, 3 and
true. Boxes and clicks are perfect: around the true mask, and in the middle of the largest error.
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from spvos_cli.benchmark.clicks import clicked
from spvos_cli.benchmark.in_memory import evaluate
from spvos_cli.data.folders import VideoSequence, davis_sequences
from spvos_cli.evaluation.measures import region_similarity
from spvos_cli.evaluation.scores import global_scores
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.ui import Reporter
from spvos_cli.video.boxes import Box
from spvos_cli.video.label_files import save_label_map
from spvos_cli.video.suggest import Prompts, Suggest, suggest_or_box


def main(davis: Path, split: str, out: Path, starts: list[str]) -> None:
    """Prints a line for each start."""
    engine, reporter = EngineOptions(), Reporter()
    network, suggest = engine.network(), engine.suggest()
    for start in starts:
        sequences, ious = [], []
        for sequence in reporter.track(davis_sequences(davis, 2016, split), None, start):
            begun, iou = begin(sequence, suggest, start, out / start)
            sequences.append(begun)
            ious.append(iou)
        found = evaluate(
            sequences, lambda: engine.segmenter(Reporter(quiet=True), network), merge_objects=True
        )
        scored = list(reporter.track(found, len(sequences), start))
        total = global_scores([score for each in scored for score in each.objects.values()])
        columns = ", ".join(f"{name} {100 * total[name]:.1f}" for name in ("J&F-Mean", "J-Mean", "F-Mean"))
        print(f"{start}: first masks {100 * np.mean(ious):.1f}, {columns}", flush=True)
        for each in scored:
            own = global_scores(list(each.objects.values()))
            print(f"  {each.name} {100 * own['J&F-Mean']:.1f}", flush=True)


def begin(sequence: VideoSequence, suggest: Suggest, start: str, out: Path) -> tuple[VideoSequence, float]:
    """The sequence with another first mask, which is not scored, and the IoU of that mask."""
    truth, image = sequence.read_mask(0) > 0, sequence.read_frame(0)
    mask = truth
    if start != "true":
        prompts = Prompts(Box(*cv2.boundingRect(truth.view(np.uint8))))
        mask = suggest_or_box(suggest, image, prompts, np.zeros_like(truth))
        clicks = 0 if start == "box" else int(start)
        for _, answer in islice(clicked(suggest, image, truth, prompts, mask), clicks):
            mask = answer
    path = out / f"{sequence.name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_label_map(path, mask.astype(np.uint8))
    return sequence._replace(masks=(path, *sequence.masks[1:])), region_similarity(mask, truth)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4:] or ["box", "3", "true"])
