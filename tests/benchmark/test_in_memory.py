"""The protocol: first mask given, first and last frame not counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from spvos_cli.benchmark.in_memory import evaluate
from spvos_cli.data.folders import VideoSequence
from spvos_cli.evaluation.report.results import Evaluation, summary
from tests.conftest import write_mask


class Copier:
    """Gives the first mask for every frame."""

    def step(self, frame: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        if mask is not None:
            self.first = mask
        return self.first


def write_sequence(folder: Path, clip: tuple[list[np.ndarray], list[np.ndarray]]) -> VideoSequence:
    frames, masks = [], []
    for t, (image, ids) in enumerate(zip(*clip, strict=True)):
        frames.append(folder / f"{t:05d}.jpg")
        Image.fromarray(image).save(frames[-1])
        masks.append(write_mask(folder / f"{t:05d}.png", ids))
    return VideoSequence("clip", tuple(frames), tuple(masks))


def test_copied_masks(tmp_path: Path, clip: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
    (result,) = evaluate([write_sequence(tmp_path, clip)], Copier, merge_objects=False)
    assert set(result.objects) == {1, 2}
    assert len(result.objects[1].j) == len(clip[0]) - 2
    expected = [
        (26 - 4 * (t - 1)) / (34 + 4 * (t - 1)) for t in range(1, 7)
    ]  # a square of 30 that moves by 4
    np.testing.assert_allclose(result.objects[1].j, expected)
    columns = summary(Evaluation("clip", "each id", [result]))
    assert columns["J-Mean"] == np.mean([score.j.mean() for score in result.objects.values()])


def test_merged_objects(tmp_path: Path, clip: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
    (result,) = evaluate([write_sequence(tmp_path, clip)], Copier, merge_objects=True)
    assert set(result.objects) == {1}
