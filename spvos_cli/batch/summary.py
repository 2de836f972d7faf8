"""What became of many videos."""

from __future__ import annotations

from typing import Any, NamedTuple

from spvos_cli.batch.video_job import DONE, FAILED, KEPT, VideoResult


class BatchSummary(NamedTuple):
    """Attributes:
    videos: a result for each row, in order.
    seconds: from the start of the first worker to the end of the last.
    """

    videos: list[VideoResult]
    seconds: float

    @property
    def done(self) -> int:
        """Videos that were segmented."""
        return self._count(DONE)

    @property
    def kept(self) -> int:
        """Videos whose outputs were as they would be now."""
        return self._count(KEPT)

    @property
    def failed(self) -> int:
        """Videos that could not be segmented."""
        return self._count(FAILED)

    @property
    def frames(self) -> int:
        """That were segmented."""
        return sum(v.summary.frames for v in self.videos if v.summary and v.status == DONE)

    @property
    def fps(self) -> float:
        """Frames a second, of all workers together."""
        return self.frames / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """Counts, and a dictionary for each video."""
        videos = []
        for result in self.videos:
            facts = result.summary._asdict() if result.summary else {}
            own = {name: value for name, value in result._asdict().items() if name != "summary"}
            videos.append(own | facts)
        counts = {"done": self.done, "kept": self.kept, "failed": self.failed, "frames": self.frames}
        return counts | {"seconds": self.seconds, "fps": self.fps, "videos": videos}

    def _count(self, status: str) -> int:
        return sum(video.status == status for video in self.videos)
