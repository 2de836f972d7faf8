"""J and F as they are usually computed: whole frames, step by step, as the benchmark's papers define them.

What the tests compare with, and how much faster ours is on this machine:

    python -m tests.evaluation.plain_recipe
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import cv2
import numpy as np

from spvos_cli.data.demo_scene import scene
from spvos_cli.evaluation.measures import similarity_and_accuracy

Pair = tuple[np.ndarray, np.ndarray]  # predicted and true mask, (H, W) bool each


def plain_region(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union; 1 where both are empty."""
    intersection = np.sum(np.logical_and(predicted, truth))
    union = np.sum(np.logical_or(predicted, truth))
    return 1.0 if np.isclose(union, 0) else float(intersection / union)


def plain_contour(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Harmonic mean of the boundaries' precision and recall, each boundary dilated by a disk."""
    radius = math.ceil(0.008 * np.linalg.norm(truth.shape))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x**2 + y**2 <= radius**2).astype(np.uint8)
    edges, truth_edges = plain_boundary(predicted), plain_boundary(truth)
    near_edges = cv2.dilate(edges.astype(np.uint8), disk)
    near_truth = cv2.dilate(truth_edges.astype(np.uint8), disk)
    found, wanted = np.sum(edges), np.sum(truth_edges)
    if found == 0 or wanted == 0:
        return float(found == wanted)
    precision = np.sum(edges * near_truth) / float(found)
    recall = np.sum(truth_edges * near_edges) / float(wanted)
    return 0.0 if precision + recall == 0 else float(2 * precision * recall / (precision + recall))


def plain_boundary(mask: np.ndarray) -> np.ndarray:
    """Where a pixel differs from its right, lower or lower right neighbour; the last row and column look
    along themselves only, and the corner is none."""
    right, below, across = np.zeros_like(mask), np.zeros_like(mask), np.zeros_like(mask)
    right[:, :-1] = mask[:, 1:]
    below[:-1, :] = mask[1:, :]
    across[:-1, :-1] = mask[1:, 1:]
    edges = mask ^ right | mask ^ below | mask ^ across
    edges[-1, :] = mask[-1, :] ^ right[-1, :]
    edges[:, -1] = mask[:, -1] ^ below[:, -1]
    edges[-1, -1] = False
    return edges


def demo_pairs() -> list[Pair]:
    """The demo's two objects, enlarged to 854x480, against where they were two frames earlier."""
    labels = [cv2.resize(ids, (854, 480), interpolation=cv2.INTER_NEAREST) for _, ids in scene()]
    return [(labels[t - 2] == i, labels[t] == i) for t in range(2, len(labels)) for i in (1, 2)]


def seconds(score: Callable[[np.ndarray, np.ndarray], object], pairs: list[Pair]) -> float:
    """For all pairs."""
    start = time.perf_counter()
    for predicted, truth in pairs:
        score(predicted, truth)
    return time.perf_counter() - start


def main(rounds: int = 7) -> None:
    """Prints milliseconds of an object in a frame, on one thread, the best of several rounds in turn, and
    their ratio."""
    cv2.setNumThreads(1)
    pairs = demo_pairs()
    timed = [
        (
            seconds(lambda p, t: (plain_region(p, t), plain_contour(p, t)), pairs),
            seconds(similarity_and_accuracy, pairs),
        )
        for _ in range(rounds)
    ]
    plain, ours = (1e3 * min(column) / len(pairs) for column in zip(*timed, strict=True))
    print(f"plain {plain:.2f} ms, spvos {ours:.2f} ms: {plain / ours:.1f} times faster ({len(pairs)} pairs)")


if __name__ == "__main__":
    main()
