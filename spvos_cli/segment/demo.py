"""`spvos segment --demo`: a rendered clip with known masks, segmented and scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from spvos_cli.data.demo_scene import HEIGHT, RATE, WIDTH, scene
from spvos_cli.evaluation.scores import global_scores, score_sequence
from spvos_cli.segment.api import segment_video
from spvos_cli.segment.pipeline import Summary
from spvos_cli.video.palettes import indexed_image, voc_palette
from spvos_cli.video.writers.choose import Output, check_output
from spvos_cli.video.writers.folders import PngFolder


def run_demo(folder: Path, **options: Any) -> tuple[Summary, float]:
    """Renders the clip into a folder, segments it from its first mask there, and scores the masks as written.

    Args:
        folder: gets demo.mp4, first.png, masks/ and overlay.mp4.
        options: of `segment_video`.

    Returns:
        What the run did, and the mean J&F of both objects against the rendered truth.
    """
    check_output(Output(folder, PngFolder), overwrite=options.get("overwrite", False))
    folder.mkdir(parents=True, exist_ok=True)
    truth = render(folder / "demo.mp4")
    indexed_image(truth[0], voc_palette()).save(folder / "first.png")
    outputs = [folder / "masks", folder / "overlay.mp4"]
    summary = segment_video(folder / "demo.mp4", folder / "first.png", outputs, **options)
    predicted = [np.array(Image.open(file)) for file in sorted(outputs[0].glob("*.png"))]
    return summary, demo_score(predicted, truth)


def demo_score(predicted: list[np.ndarray], truth: list[np.ndarray]) -> float:
    """J&F over both objects, first and last frame left out as in the benchmark."""
    scores = score_sequence(predicted[1:-1], truth[1:-1], [1, 2])
    return global_scores(list(scores.values()))["J&F-Mean"]


def render(path: Path) -> list[np.ndarray]:
    """Writes the clip and returns its label maps (H, W) uint8."""
    truth = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for image, labels in scene():
            truth.append(labels)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return truth
