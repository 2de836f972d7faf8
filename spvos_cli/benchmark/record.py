"""What is kept of finished sequences, so that they are not run again unless something changed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spvos_cli.benchmark.datasets import Benchmark, BenchmarkVideo
from spvos_cli.errors import InputError
from spvos_cli.evaluation.report.results import SequenceRun
from spvos_cli.files import atomic_path
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.resources import PACKAGE, cuda_folder

WRITABLE = "a folder that you may write to"

# Options whose effect stands in `run_settings` as the network or the segmenter has it, or that have none on
# the masks. Every other option counts as it is given, so that a new one cannot be forgotten.
RESOLVED = frozenset(
    {"model", "method", "sparse", "gate_all", "strategy", "gate", "size", "mem_every", "top_k", "max_memory"}
    | {"long_memory", "weights", "device", "dtype", "threads"}
)
LIBRARIES = ("torch", "numpy", "cv2", "openvino")  # that compute, as far as they are loaded
SOURCES = {".py", ".json", ".cu", ".cuh"}


def run_settings(segmenter: VideoSegmenter, engine: EngineOptions) -> dict[str, Any]:
    """All that the masks depend on besides the videos: the network, its weights by their content, the
    options, this package's code, and the versions of the libraries that compute."""
    loaded = {name: sys.modules[name] for name in LIBRARIES if name in sys.modules}
    return {
        **dataclasses.asdict(segmenter.network.config),
        **{name: value for name, value in vars(engine).items() if name not in RESOLVED},
        "weights": hashlib.sha256(engine.weights_path().read_bytes()).hexdigest(),
        "size": segmenter.size,
        "mem_every": segmenter.mem_every,
        "top_k": segmenter.top_k,
        "max_memory": segmenter.max_memory,
        "long_memory": segmenter.long_memory,
        "device": segmenter.device.type,
        "dtype": str(segmenter.dtype).removeprefix("torch."),
        "code": code_digest(PACKAGE, cuda_folder()),
        "libraries": {name: str(getattr(module, "__version__", "")) for name, module in loaded.items()},
    }


def code_digest(*folders: Path) -> str:
    """16 hexadecimal digits that change with every source file below the folders: with its name and its
    content."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(path for path in folder.rglob("*") if path.suffix in SOURCES):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{file.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()[:16]


class RunFolder:
    """Masks and records of one benchmark with one network and its options: another one has another folder.

    Args:
        out: gets BENCHMARK/NETWORK-METHOD-CODE/ with masks/SEQUENCE/, records/ and settings.json.
        benchmark: what is segmented.
        settings: `run_settings`.
        fresh: nothing counts as finished.

    Raises:
        InputError: nothing can be written there.
    """

    def __init__(
        self, out: Path, benchmark: Benchmark, settings: Mapping[str, Any], *, fresh: bool = False
    ) -> None:
        text = json.dumps(settings, sort_keys=True, indent=2, default=str)
        name = f"{settings['architecture']}-{settings['method']}-{_digest(text)}"
        self.path, self.fresh = out / benchmark.name / name, fresh
        self.masks, self._records = self.path / "masks", self.path / "records"
        self._alike = f"{benchmark.merge_objects} {benchmark.late_objects}"
        try:
            self._records.mkdir(parents=True, exist_ok=True)
            _write(self.path / "settings.json", text)
        except OSError as error:
            found = f"cannot be written ({error.strerror})"
            raise InputError(self.path, found=found, expected=WRITABLE, fix="--out DIR") from error

    def finished(self, video: BenchmarkVideo) -> SequenceRun | None:
        """The record of a sequence that an earlier run brought to its end with the same frames and given
        masks, marked as reused; None where there is none of today's form, or `fresh`."""
        if self.fresh:
            return None
        try:
            stored = json.loads(self._record(video).read_text())
            same = stored["input"] == self._input(video)
            there = {file.stem for file in (self.masks / video.name).iterdir()}
            run = SequenceRun.from_json(stored["run"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return run._replace(reused=True) if same and video.kept <= there else None

    def finish(self, video: BenchmarkVideo, run: SequenceRun) -> None:
        """Records a sequence whose masks are written."""
        path = self._record(video)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, json.dumps({"input": self._input(video), "run": run.to_json()}))

    def _record(self, video: BenchmarkVideo) -> Path:
        return self._records / f"{video.name}.json"

    def _input(self, video: BenchmarkVideo) -> str:
        """Changes with the frames and masks: their names, sizes and times."""
        files = [*video.frames, *video.masks.values()]
        stamps = [(file.name, (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files]
        return _digest(f"{self._alike} {sorted(video.kept)} {stamps}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _write(path: Path, text: str) -> None:
    with atomic_path(path, shared=True) as part:
        part.write_text(text)
