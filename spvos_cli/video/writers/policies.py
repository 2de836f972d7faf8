"""What gates decided, painted over the video."""

from __future__ import annotations

import numpy as np

from spvos_cli.video.paint import resize_to
from spvos_cli.video.writers.videos import OverlayVideo
from spvos_cli.video.writers.writer import SegmentedFrame

ENDING = "policies.mp4"  # of the output's name
COLOURS = np.array([[201, 204, 209], [91, 155, 213], [224, 123, 57]], np.uint8)  # of SKIP, REUSE, COMPUTE
ALPHA = 0.5


class PolicyVideo(OverlayVideo):
    """H.264 of the frames, grey where gates skipped, blue where they reused, orange where they computed, and
    as it is where everything was computed or nothing looked at."""

    needs_decisions, with_audio = True, False

    def image(self, segmented: SegmentedFrame) -> np.ndarray:
        frame, decisions = segmented.frame.image, segmented.facts.decisions
        height, width = frame.shape[:2]
        if decisions is not None:
            rows = np.arange(height) * decisions.shape[0] // height
            columns = np.arange(width) * decisions.shape[1] // width
            placed = decisions[rows[:, None], columns]
            tint = COLOURS[np.minimum(placed, len(COLOURS) - 1)]
            mixed = (frame * (1 - ALPHA) + tint * ALPHA).astype(np.uint8)
            frame = np.where((placed < len(COLOURS))[..., None], mixed, frame)
        image = resize_to(frame, self.source.width, self.source.height)
        return np.pad(image, ((0, self.source.height % 2), (0, self.source.width % 2), (0, 0)), mode="edge")
