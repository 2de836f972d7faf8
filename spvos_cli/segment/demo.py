"""`spvos segment --demo`: a rendered clip with known masks, segmented and scored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from PIL import Image

from spvos_cli.evaluation.scores import global_scores, score_sequence
from spvos_cli.segment.pipeline import Summary, segment_video
from spvos_cli.video.palettes import indexed_image, voc_palette
from spvos_cli.video.writers.choose import Output, check_output
from spvos_cli.video.writers.folders import PngFolder

WIDTH, HEIGHT, FRAMES, RATE = 640, 360, 48, 24
ANGLES = np.linspace(0, 2 * np.pi, 90, endpoint=False)


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


def scene() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Frames (H, W, 3) and label maps: two textured blobs that change shape and cross, the second in
    front."""
    rng = np.random.default_rng(4)
    ground = texture(rng, (HEIGHT + 80, WIDTH + 240), 24, (70, 105, 80))
    skins = [
        texture(rng, (HEIGHT, WIDTH), 7, (215, 120, 40)),
        texture(rng, (HEIGHT, WIDTH), 10, (60, 90, 215)),
    ]
    for t in np.linspace(0, 1, FRAMES):
        x, y = round(240 * t), round(40 + 40 * np.sin(4 * t))
        image = ground[y : y + HEIGHT, x : x + WIDTH].copy()
        labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        for i, skin in enumerate(skins):
            outline = blob(t, leftwards=bool(i))
            mask = cv2.fillPoly(np.zeros_like(labels), [outline], 1, cv2.LINE_8).astype(bool)
            dx, dy = outline.mean(axis=0).astype(int) - (WIDTH // 2, HEIGHT // 2)
            image[mask] = np.roll(skin, (dy, dx), (0, 1))[mask]
            labels[mask] = i + 1
        yield cv2.GaussianBlur(image, (3, 3), 0), labels


def blob(t: float, *, leftwards: bool) -> np.ndarray:
    """The outline (90, 2) int32, in pixels, of one object at time t in [0, 1]."""
    radius = 62 + 14 * np.sin(3 * ANGLES + 5 * t + leftwards) + 9 * np.sin(5 * ANGLES - 7 * t)
    along = 110 + 420 * (1 - t if leftwards else t)
    across = HEIGHT / 2 + (45 if leftwards else -45) * np.cos(2.5 * t) + 20 * np.sin(9 * t + 2 * leftwards)
    turn = ANGLES + (1.5 if leftwards else -1.2) * t
    points = np.stack([along + 1.15 * radius * np.cos(turn), across + 0.85 * radius * np.sin(turn)], axis=1)
    return points.round().astype(np.int32)


def texture(
    rng: np.random.Generator, shape: tuple[int, int], grain: int, colour: tuple[int, int, int]
) -> np.ndarray:
    """Smooth coloured noise about a colour, (H, W, 3) uint8; grain in pixels."""
    height, width = shape
    noise = np.zeros((height, width, 3), np.float32)
    for size, strength in ((grain, 45), (3 * grain, 35)):
        coarse = rng.normal(size=(height // size + 2, width // size + 2, 3)).astype(np.float32)
        noise += strength * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(noise + colour, 0, 255).astype(np.uint8)
