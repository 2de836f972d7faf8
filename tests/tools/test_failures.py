"""The scenes of docs/failures.md."""

from __future__ import annotations

import numpy as np
import pytest

from tools.failures import FRAMES, SCENES, Scene, score


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_scenes_are_whole(scene: Scene) -> None:
    clip = scene.make()
    assert len(clip) == FRAMES
    truth = [ids == 1 for _, ids in clip]
    assert all(mask.any() for mask in truth)
    assert score(clip, truth) == 100
    assert score(clip, [np.roll(mask, 40, axis=1) for mask in truth]) < 70
    for t, objects in scene.helped.items():
        assert set(objects) <= set(np.unique(clip[t][1]).tolist())
