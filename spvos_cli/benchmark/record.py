"""What is kept of finished sequences, so that they are not run again unless something changed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spvos_cli import __version__
from spvos_cli.benchmark.datasets import Benchmark, BenchmarkVideo
from spvos_cli.errors import InputError
from spvos_cli.evaluation.report.results import SequenceRun
from spvos_cli.files import atomic_path
from spvos_cli.inference.segmenter import VideoSegmenter

WRITABLE = "a folder that you may write to"


def settings(segmenter: VideoSegmenter, weights: Path) -> dict[str, Any]:
    """All that the masks depend on besides the videos."""
    return {
        **dataclasses.asdict(segmenter.network.config),
        "weights": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "size": segmenter.size,
        "mem_every": segmenter.mem_every,
        "top_k": segmenter.top_k,
        "max_memory": segmenter.max_memory,
        "reuse": segmenter.inject is None,
        "device": segmenter.device.type,
        "dtype": str(segmenter.dtype).removeprefix("torch."),
        "version": __version__,
    }


class RunFolder:
    """Masks and records of one benchmark with one network and its options: another one has another folder.

    Args:
        out: gets BENCHMARK/NETWORK-METHOD-CODE/ with masks/SEQUENCE/, records/ and settings.json.
        benchmark: what is segmented.
        chosen: `settings`.

    Raises:
        InputError: nothing can be written there.
    """

    def __init__(self, out: Path, benchmark: Benchmark, chosen: Mapping[str, Any]) -> None:
        code = _digest(json.dumps(chosen, sort_keys=True))
        self.path = out / benchmark.name / f"{chosen['architecture']}-{chosen['method']}-{code}"
        self.masks, self._records = self.path / "masks", self.path / "records"
        self._alike = f"{benchmark.merge_objects} {benchmark.late_objects}"
        try:
            self._records.mkdir(parents=True, exist_ok=True)
            with atomic_path(self.path / "settings.json", shared=True) as part:
                part.write_text(json.dumps(chosen, indent=2))
        except OSError as error:
            found = f"cannot be written ({error.strerror})"
            raise InputError(self.path, found=found, expected=WRITABLE, fix="--out DIR") from error

    def finished(self, video: BenchmarkVideo) -> SequenceRun | None:
        """The record of a sequence that was run to its end with the same frames and given masks."""
        try:
            stored = json.loads(self._record(video).read_text())
            same = stored["input"] == self._input(video)
            there = {file.stem for file in (self.masks / video.name).iterdir()}
            return SequenceRun(**stored["run"]) if same and video.kept <= there else None
        except (OSError, ValueError, KeyError, TypeError):  # none, or not one of ours: run it again
            return None

    def finish(self, video: BenchmarkVideo, run: SequenceRun) -> None:
        """Records a sequence whose masks are written."""
        path = self._record(video)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path, shared=True) as part:
            part.write_text(json.dumps({"input": self._input(video), "run": run._asdict()}))

    def _record(self, video: BenchmarkVideo) -> Path:
        return self._records / f"{video.name}.json"

    def _input(self, video: BenchmarkVideo) -> str:
        """Changes with the frames and masks: their names, sizes and times."""
        files = [*video.frames, *video.masks.values()]
        stamps = [(file.name, (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files]
        return _digest(f"{self._alike} {sorted(video.kept)} {stamps}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
